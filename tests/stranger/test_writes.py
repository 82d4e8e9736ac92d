"""What a recorded run writes stays in its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from canary import CANARY
from omegaconf import OmegaConf

from tunesmith import __main__ as program
from tunesmith.config import yaml_file
from tunesmith.errors import RunError
from tunesmith.run import wall
from tunesmith.run.resume.checkpoint import CheckpointIO

CSV = {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "x"}
SAVES = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "save_top_k": -1}
CHANGES = {
    "home": {"callback": {"more": {**SAVES, "dirpath": f"~/{CANARY}"}}},
    "an address": {"logger": {"csv": {**CSV, "save_dir": f"file:///tmp/{CANARY}"}}},
    "a scheme in another place": {"logger": {"csv": {**CSV, "save_dir": ".", "name": f"file:/{CANARY}"}}},
    "a letter by its number": {"callback": {"more": {**SAVES, "filename": f"{{step:c}}tmp/{CANARY}"}}},
    "a field in a field": {"callback": {"more": {**SAVES, "filename": f"{{step:{{epoch}}}}{CANARY}"}}},
    "a placeholder": {"callback": {"more": {**SAVES, "dirpath": f"<run>/{CANARY}"}}},
    "a placeholder in full": {"callback": {"more": {**SAVES, "dirpath": f"{{here}}/<run>/{CANARY}"}}},
    "a variable": {"callback": {"more": {**SAVES, "dirpath": f"$HOME/{CANARY}"}}},
    "a zero byte": {"callback": {"more": {**SAVES, "filename": f"a\0/{CANARY}"}}},
}


def change(folder, changes):
    cfg = yaml_file.read(folder / "config.yaml")
    OmegaConf.set_struct(cfg, False)
    text = OmegaConf.to_yaml(OmegaConf.merge(cfg, changes)).replace("{here}", str(Path.cwd()))
    (folder / "config.yaml").write_text(text)


def unfinished(folder):
    """The run has ended early, so that it can be gone on with."""
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"completed"', '"stopped"'))


WAYS = [(name, way) for name in CHANGES for way in ("resume", "reproduce")]


# A placeholder names a folder that is still to be made: of a run that goes on, it is just a name inside.
@pytest.mark.parametrize(
    ("name", "way"), [pair for pair in WAYS if "placeholder" not in pair[0] or "reproduce" in pair]
)
def test_recorded_places_outside_are_refused(name, way, stranger, elsewhere, refused):
    change(stranger, CHANGES[name])
    if way == "resume":
        unfinished(stranger)
    before = elsewhere()
    line = ["train", f"resume={stranger}", "resume_force=true"] if way == "resume" else ["reproduce", f"run={stranger}"]
    assert CANARY in refused(*line)
    assert elsewhere() == before


def test_checkpoints_of_a_recorded_run_are_held_to_its_folder_where_they_are_written(tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    (run / "checkpoints").mkdir(parents=True)
    out.mkdir()
    (run / "link").symlink_to(out)
    io = CheckpointIO(inside=run)
    for path in (out / f"{CANARY}.ckpt", run / "link" / f"{CANARY}.ckpt", Path(f"{CANARY}.ckpt")):
        with pytest.raises(RunError, match="in "):
            io.save_checkpoint({"global_step": 0, "epoch": 0}, path)
    io.save_checkpoint({"global_step": 0, "epoch": 0}, run / "checkpoints" / "good.ckpt")
    assert not list(out.iterdir())


@pytest.mark.parametrize("name", ["evaluations", "checkpoints/extra", "plots"])
def test_links_out_of_the_folder_carry_nothing_out(name, stranger, refused):
    out = stranger.parent / "out"
    out.mkdir()
    place = stranger / name
    if place.exists():
        place.rename(place.with_name("before"))
    place.symlink_to(out)
    if name == "evaluations":
        assert "to be a folder of the run" in refused("evaluate", f"run={stranger}", "accelerator=cpu")
    unfinished(stranger)
    assert "link out of it" in refused("train", f"resume={stranger}")
    assert not list(out.iterdir())


def test_another_name_of_a_file_elsewhere_is_not_appended_to(stranger):
    other = stranger.parent / "notes.txt"
    other.write_text("mine")
    (stranger / "log.txt").unlink()
    os.link(other, stranger / "log.txt")
    unfinished(stranger)
    assert program.command_line(["train", f"resume={stranger}", "resume_force=true"]) == 0
    assert other.read_text() == "mine" and "mine" in (stranger / "log.txt").read_text()


@pytest.mark.parametrize("name", ["log.txt", "metrics.jsonl"])
def test_a_fifo_in_place_of_a_log_is_refused(name, stranger, refused):
    (stranger / name).unlink()
    os.mkfifo(stranger / name)
    unfinished(stranger)
    assert "regular file" in refused("train", f"resume={stranger}", "resume_force=true")


def test_a_recorded_run_downloads_nothing(stranger, monkeypatch, refused):
    data = {
        "_target_": "tunesmith.data.image.torchvision_dataset.TorchvisionDataset",
        "name": "MNIST",
        "download": True,
    }
    cfg = yaml_file.read(stranger / "config.yaml")
    (stranger / "config.yaml").write_text(OmegaConf.to_yaml({**cfg, "data": {**data, "root": "."}}))
    tried = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: tried.append(a))
    monkeypatch.setattr("socket.socket.connect", lambda *a, **k: tried.append(a))
    refused("evaluate", f"run={stranger}", "accelerator=cpu")
    assert not tried


@pytest.mark.parametrize(("file", "text"), [("predict", f"output: {CANARY}.csv"), ("paths/default", f"logs: {CANARY}")])
def test_configurations_beside_the_run_replace_none_of_the_packages(file, text, stranger, capsys):
    place = stranger / "conf" / f"{file}.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(
        f"defaults: [{{paths: default}}, _self_]\nrun: x\ninput: x\n{text}\n" if file == "predict" else text
    )
    for command in ("predict", "evaluate", "export", "reproduce"):
        assert program.command_line([command, "run=.", *["input=x"] * (command == "predict"), "--cfg", "job"]) == 0
    assert CANARY not in capsys.readouterr().out


def test_a_settings_file_beside_the_run_sends_it_to_no_server(stranger, refused, monkeypatch):
    (stranger / "wandb").mkdir(exist_ok=True)
    (stranger / "wandb" / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    change(stranger, {"logger": {"wandb": {"_target_": "tunesmith.run.logger.wandb_logger.wandb_logger"}}})
    unfinished(stranger)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert "no server of W&B" in refused("train", f"resume={stranger}", "resume_force=true")


# ── the second wall ─────────────────────────────────────────────────────────────────────────────────────────────────

BEHIND = f"""
import os, sys
from pathlib import Path
from tunesmith.run.wall import raise_wall
inside, outside = map(Path, sys.argv[1:])
if not raise_wall([inside]):
    print("none")
    sys.exit()
(inside / "a").write_text("x")
(inside / "a").rename(inside / "b")
for act in (
    lambda: (outside / "{CANARY}").write_text("x"),
    lambda: (outside / "mine").write_text("x"),
    lambda: (outside / "mine").unlink(),
    lambda: (outside / "{CANARY}").mkdir(),
    lambda: (inside / "b").rename(outside / "{CANARY}"),
    lambda: os.link(outside / "mine", inside / "{CANARY}"),
    lambda: os.truncate(outside / "mine", 0),
):
    try:
        act()
    except PermissionError:
        continue
    except OSError as error:
        if error.errno == 18:  # to another folder: EXDEV
            continue
        raise
    sys.exit("written")
print("held", os.system("echo x 2>/dev/null >" + str(outside / "{CANARY}")) != 0)
"""


def test_the_operating_system_holds_a_command_to_its_folders(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "mine").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-c", BEHIND, str(inside), str(outside)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(inside)},
    )
    assert done.stdout.strip() in ("held True", "none"), done.stderr  # none where the kernel has no Landlock
    assert [path.name for path in outside.iterdir()] == ["mine"] and (outside / "mine").read_text() == "mine"


def test_where_there_is_no_landlock_nothing_is_said_to_stand(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not wall.raise_wall([tmp_path])

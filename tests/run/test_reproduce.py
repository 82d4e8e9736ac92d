"""A run again from what was recorded: the same bits, or what is not as it was."""

from __future__ import annotations

import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.logger import wandb_record
from tunesmith.run.reproduce import KEPT, compared, reproduce
from tunesmith.run.train import train


@pytest.fixture(scope="module")
def original(tmp_path_factory, quick_below):
    """A run on 24 image files, logged by W&B offline, and the folder that its paths are from."""
    place = tmp_path_factory.mktemp("original")
    rng = np.random.default_rng(0)
    for number in range(24):
        path = place / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("WANDB_API_KEY", raising=False)
        cfg = quick_below(
            place / "logs",
            *("data=image_folder", "data.root=photos", "backbone.image_size=8", "logger=wandb"),
            *("callback=[default,quiet]", "callback.progress=null", "trainer.max_epochs=1"),
        )
        return train(cfg).folder


@pytest.fixture
def here(original, tmp_path, monkeypatch):
    """A copy of the images, to be altered."""
    shutil.copytree(original.parents[2] / "photos", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but those that W&B's service, which outlives a run, goes on writing."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "wandb" not in p.parts}


def again(run: Path | str, *words: str):
    return reproduce(compose("reproduce", [f"run={run}", *words]))


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # wandb's service process outlives the run


def test_a_run_comes_to_the_same_bits_in_a_folder_of_its_own(original, here, capsys):
    before = contents(original)
    found = again(original)
    assert found.verdict == "identical" and found.weights and not found.inputs and not found.parted
    assert set(found.metrics) >= {"test/accuracy", "val/loss", "train/loss", "best/val/loss"}
    assert found.folder.is_relative_to(here / "logs") and (found.folder / "checkpoints" / "last.ckpt").is_file()
    assert contents(original) == before
    one, other = (json.loads((folder / "run.json").read_text()) for folder in (original, found.folder))
    assert other["repeats"] == one["id"] != other["id"]
    assert all(one[key] == other[key] for key in ("config_hash", "overrides", "choices", "data"))
    kept = json.loads((found.folder / KEPT).read_text())
    assert (kept["run"], kept["verdict"]) == (one["id"], "identical")
    assert "Metrics: identical to the bit. Last weights: the same bits." in capsys.readouterr().out


def test_one_byte_of_a_image_is_enough_to_refuse(original, here, capsys):
    file = here / "photos" / "b" / "3.png"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # behind what is decoded: the image looks the same
    file.write_bytes(data)
    with pytest.raises(RunError, match=r"altered: b/3\.png\. Restore"):
        again(original)
    assert not (here / "logs").exists()
    found = again(original, "force=true", "tolerance=1")
    assert found.inputs == ("images altered: b/3.png",)
    assert "Changed: images altered: b/3.png." in capsys.readouterr().out


def test_other_numbers_are_told_and_fail(original, here, capsys):
    run = shutil.copytree(original, here / "run")
    record = json.loads((run / "run.json").read_text())
    record["metrics"]["test/accuracy"] += 0.5
    record["packages"]["torch"] = "1.0"
    (run / "run.json").write_text(json.dumps(record))
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    changed = [line.replace('"val/loss": ', '"val/loss": 1') for line in lines]
    (run / "metrics.jsonl").write_text("".join(changed))
    with pytest.raises(RunError, match=r"but 1 of \d+ are outside the tolerance, such as test/accuracy"):
        again(run)
    said = " ".join(capsys.readouterr().out.split())
    assert "Changed: torch was 1.0 and is " in said
    assert "The logs diverge at step 0: val/loss was 1" in said


def test_what_wandb_keeps_is_enough(original, here):
    (folder,) = original.glob("wandb/offline-run-*")
    found = again(folder)
    assert found.verdict == "identical" and found.weights is None
    record = json.loads((original / "run.json").read_text())
    assert set(found.metrics) == set(wandb_record.comparable(record["metrics"]))


def test_a_run_on_the_server(original, here, monkeypatch):
    """A stand-in for `wandb.Api`: what it gives of a run is what the offline file holds."""
    (folder,) = original.glob("wandb/offline-run-*")
    kept = wandb_record.read(str(folder))
    asked = []

    def run(path):
        asked.append(path)
        if not path.startswith("me/project/abc"):
            raise ValueError("Could not find run")
        state = "finished" if path == "me/project/abc" else "crashed"
        config = {k: v for k, v in kept.items() if k not in ("id", "status", "metrics", "logged", "about")}
        summary = {**kept["metrics"], "_step": 1}
        return types.SimpleNamespace(id="abc", state=state, config=config, summary_metrics=summary)

    import wandb

    monkeypatch.setattr(wandb, "Api", lambda: types.SimpleNamespace(run=run))
    assert again("wandb:me/project/abc").verdict == "identical"
    with pytest.raises(RunError, match="Expected a W&B run, as wandb:entity/project/id, but got 'me/project/x'"):
        again("wandb:me/project/x")
    with pytest.raises(RunError, match="Expected a completed run but wandb:me/project/abc2 is 'crashed'"):
        again("wandb:me/project/abc2")
    assert asked == ["me/project/abc", "me/project/x", "me/project/abc2"]


def test_what_wandb_keeps_of_a_run_that_never_ended_is_no_result(original, here):
    """The file of a run that was killed ends before it says how the run did."""
    (folder,) = original.glob("wandb/offline-run-*")
    killed = shutil.copytree(folder, here / "killed")
    (file,) = killed.glob("*.wandb")
    whole, low = file.read_bytes(), 0
    high = len(whole)
    while high - low > 1:  # the shortest beginning that tells of the end is one byte longer
        middle = (low + high) // 2
        file.write_bytes(whole[:middle])
        low, high = (low, middle) if wandb_record.read_file(file)["status"] == "completed" else (middle, high)
    file.write_bytes(whole[:low])
    assert wandb_record.read_file(file)["metrics"] == wandb_record.read_file(next(folder.glob("*.wandb")))["metrics"]
    with pytest.raises(RunError, match=r"Expected a completed run but .*killed is 'running': there is no result yet"):
        again(killed)
    assert not (here / "logs").exists()


@pytest.mark.parametrize(
    ("alter", "error", "sentence"),
    [
        (lambda run, record: record.update(status="failed"), RunError, "Expected a completed run but run is 'failed'"),
        (lambda run, record: record.update(weights={}), RunError, "Expected a record with weights"),
        (lambda run, record: (run / "run.json").unlink(), RunError, "Expected a run folder with a run.json"),
        (
            lambda run, record: (run / "config.yaml").write_text(
                (run / "config.yaml").read_text().replace("tunesmith.head.linear.Linear", "os.system")
            ),
            ConfigError,
            "os.system",
        ),
    ],
    ids=["failed", "incomplete", "no run", "hostile"],
)
def test_what_cannot_be_reproduced(alter, error, sentence, original, here):
    run = shutil.copytree(original, here / "run")
    record = json.loads((run / "run.json").read_text())
    alter(run, record)
    if (run / "run.json").exists():
        (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(error, match=sentence):
        again(run)
    assert not (here / "logs").exists()


def test_without_the_list_of_images_the_fingerprint_tells(original, here):
    run = shutil.copytree(original, here / "run")
    (run / "data.parquet").unlink()
    (here / "photos" / "b" / "3.png").rename(here / "photos" / "a" / "3.png")
    with pytest.raises(RunError, match="the fingerprint of the images is"):
        again(run)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (0.5, 0.5, "identical"),
        (float("nan"), float("nan"), "identical"),
        (0.5, 0.5 + 1e-9, "within tolerance"),
        (100.0, 100.05, "within tolerance"),
        (0.5, 0.51, "different"),
        (0.5, None, "different"),
        (float("nan"), 0.5, "different"),
    ],
)
def test_one_metric(before, now, said):
    assert compared(before, now, 1e-3) == said


def test_as_many_threads_as_the_run_had(original, here, monkeypatch):
    import torch

    run = shutil.copytree(original, here / "run")
    record = json.loads((run / "run.json").read_text())
    before, other = torch.get_num_threads(), torch.get_num_threads() % 2 + 1
    record["hardware"]["threads"] = other
    (run / "run.json").write_text(json.dumps(record))
    seen = []
    monkeypatch.setattr(
        "tunesmith.run.reproduce.other_inputs", lambda original, session: seen.append(torch.get_num_threads())
    )
    with pytest.raises(TypeError):  # the stand-in gives nothing to go on with
        again(run)
    assert seen == [other] and torch.get_num_threads() == before

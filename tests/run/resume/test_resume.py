"""Kill it anywhere, get the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from killing import LATER, PLACES, KilledError, bits, configured, differing, go_on, killed, leaves
from omegaconf import OmegaConf

from tunesmith.config import yaml_file
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.record import metrics_log, process
from tunesmith.run.record.record import Run
from tunesmith.run.resume import checkpoint, resume
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.resume.last_checkpoint import BEFORE, LAST, LastCheckpoint
from tunesmith.run.session import Session, Typed
from tunesmith.run.train import train
from tunesmith.task.base import Task


def said(folder):
    return json.loads((folder / "run.json").read_text())["resumed"][-1]["said"]


CROSSED = {
    "plain": [*PLACES],
    "ema": ["middle", "validation", "save"],
    "accumulation": ["first epoch", "middle", "save"],
    "phases": ["middle", "boundary"],
    "pairs": ["first epoch", "middle", "boundary", "validation", "save"],
    "gates": ["middle", "boundary"],
    "lora": ["middle"],
    "chain": ["middle"],
    "masks": ["middle"],
    "l2_sp": ["middle"],
    "without_validation": ["middle"],
    "waiting": ["middle", "start of the third", "third epoch", "fourth epoch"],
    "probe_waits": ["start of the third", "third epoch"],
    "encoder": ["middle"],
    "tags": ["middle"],
    "answers": ["middle"],
    "causal_lm": ["middle"],
    "masked_lm": ["middle"],
    "joint": ["middle", "boundary"],
    "seq2seq": ["middle", "validation"],
}
# A place for each at every commit; test_kill.py crosses all of them, with kills from outside, in the long tier.
LATE = ("causal_lm", "seq2seq")  # in the long tier: masked_lm, of which more is drawn, stands for all three
QUICK = {"plain": [*PLACES], "ema": ["save"], "phases": ["boundary"], "gates": ["boundary"], "waiting": ["third epoch"]}
CELLS = [
    pytest.param(
        setting,
        place,
        marks=[] if setting not in LATE and place in QUICK.get(setting, places[:1]) else pytest.mark.long,
    )
    for setting, places in CROSSED.items()
    for place in places
]


@pytest.mark.parametrize(("setting", "place"), CELLS)
def test_a_killed_run_ends_with_the_same_bits(setting, place, tmp_path, monkeypatch, whole):
    folder = killed(configured(tmp_path, setting), monkeypatch, *(PLACES | LATER)[place])
    assert go_on(folder).folder == folder
    assert differing(bits(folder), whole(setting)) == []


@pytest.mark.long
@pytest.mark.parametrize("setting", ["encoder", "decoder", "encoder_decoder"])
@pytest.mark.parametrize("place", ["first epoch", "boundary", "save"])
def test_language_models_too(setting, place, tmp_path, monkeypatch, whole):
    folder = killed(configured(tmp_path, setting), monkeypatch, *(PLACES | LATER)[place])
    go_on(folder)
    assert differing(bits(folder), whole(setting)) == []


@pytest.mark.parametrize("setting", ["plain", "accumulation"])
def test_with_two_workers_too(setting, tmp_path, monkeypatch, whole):
    folder = killed(configured(tmp_path, setting, "data.workers=2"), monkeypatch, *PLACES["middle"])
    go_on(folder)
    assert differing(bits(folder), whole(setting)) == []


@pytest.mark.parametrize(
    ("setting", "step"),
    [
        *(("plateau", 9), ("validation_inside", 9), ("validation_inside", 12)),
        *(("limited_in_steps", 12), ("limited_in_steps", 14), ("steps_alone", 9), ("stopping_early", 9)),
    ],
)
def test_rarer_kinds_of_runs_too(setting, step, tmp_path, monkeypatch, whole):
    folder = killed(configured(tmp_path, setting), monkeypatch, (Task, "training_step"), step)
    go_on(folder)
    assert differing(bits(folder), whole(setting)) == []


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("tunesmith.run.resume.loop_state.restore_streams", lambda *a: None),
        ("tunesmith.run.resume.loop_state.restore_metrics", lambda *a: None),
        ("tunesmith.data.module.TableData.start_at", lambda *a: None),
    ],
)
def test_without_one_part_of_the_state_the_bits_differ(target, value, stopped, monkeypatch, whole):
    """Negative control: what the tests above compare does depend on what is brought back."""
    monkeypatch.setattr(target, value)
    go_on(stopped)
    assert differing(bits(stopped), whole("plain")) != []


# ── checkpoints that are not what was written ───────────────────────────────────────────────────────────────────────


def damage(path, how):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    cut = {"flip": bytes(data), "empty": b"", "byte": b"P", "half": data[: len(data) // 2], "short": data[:-1]}
    if how == "gone":
        path.unlink()
    else:
        path.unlink()  # a second name of the same file must not change
        path.write_bytes(cut[how])


@pytest.mark.parametrize("how", ["flip", "empty", "byte", "half", "short", "gone"])
@pytest.mark.parametrize("clock", [0, 4e9])
def test_a_damaged_checkpoint_is_passed_over_loudly(how, clock, stopped):
    folder = stopped / "checkpoints"
    damage(folder / LAST, how)
    if how != "gone":
        os.utime(folder / LAST, (clock, clock))
    chosen, entry, sentences = resume.choose(folder)
    assert chosen == folder / BEFORE and entry["step"] == 8
    assert len(sentences) == 1 and LAST in sentences[0]


def test_from_the_one_before_it_comes_to_the_same_bits(stopped, whole, capsys):
    damage(stopped / "checkpoints" / LAST, "half")
    go_on(stopped)
    assert differing(bits(stopped), whole("plain")) == []
    assert "Skipped last.ckpt" in capsys.readouterr().out
    assert any(LAST in sentence for sentence in said(stopped))


@pytest.mark.parametrize("how", ["damaged", "manifest gone", "manifest damaged", "all gone"])
def test_without_a_good_one_nothing_begins_again(how, stopped):
    folder = stopped / "checkpoints"
    for name in (LAST, BEFORE):
        if how in ("damaged", "all gone"):
            damage(folder / name, "flip" if how == "damaged" else "gone")
    if how == "manifest gone":
        (folder / checkpoint.MANIFEST).unlink()
    if how == "manifest damaged":
        (folder / checkpoint.MANIFEST).write_bytes(b"{")
    before = (stopped / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match="Expected"):
        go_on(stopped)
    assert (stopped / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("what", ["replace", "hardlink_to"])
def test_a_kill_at_any_move_of_a_save_leaves_one_that_holds(what, at, tmp_path, monkeypatch):
    def save(step):
        checkpoint.keep_as(tmp_path / LAST, BEFORE)
        state = {"state_dict": {"x": torch.full((9,), step)}, "global_step": step, "epoch": 0}
        checkpoint.CheckpointIO().save_checkpoint(state, tmp_path / LAST)

    save(1)
    save(2)
    calls = 0
    original = getattr(Path, what)

    def dies(self, *args):
        nonlocal calls
        calls += 1
        if calls == at:
            raise KilledError
        return original(self, *args)

    with monkeypatch.context() as patched, contextlib.suppress(KilledError):
        patched.setattr(Path, what, dies)
        save(3)
    chosen, entry, _ = resume.choose(tmp_path)
    assert load(chosen)["global_step"] == entry["step"] >= 2
    save(4)
    assert resume.choose(tmp_path)[1]["step"] == 4


def test_the_checkpoint_of_the_later_step_is_chosen_whatever_it_is_called(stopped):
    folder = stopped / "checkpoints"
    manifest = checkpoint.read_manifest(folder)
    steps = {name: manifest[name]["step"] for name in (LAST, BEFORE)}
    assert steps[LAST] > steps[BEFORE]
    assert resume.choose(folder) == (folder / LAST, manifest[LAST], [])
    (folder / LAST).rename(folder / "x")
    (folder / BEFORE).rename(folder / LAST)
    (folder / "x").rename(folder / BEFORE)
    swapped = manifest | {LAST: manifest[BEFORE], BEFORE: manifest[LAST]}
    (folder / checkpoint.MANIFEST).write_text(json.dumps(swapped))
    assert resume.choose(folder) == (folder / BEFORE, swapped[BEFORE], [])
    (folder / checkpoint.MANIFEST).write_text(json.dumps(swapped | {BEFORE: manifest[BEFORE] | {"step": 8}}))
    assert resume.choose(folder)[0] == folder / LAST  # of one step, the one that was written last


def listed(folder, **steps):
    """Writes checkpoints of some steps, and lists them, but for those of step ``None``."""
    for name, step in steps.items():
        path = folder / f"{name.replace('_', '-')}.ckpt"
        if step is None:
            path.write_bytes(b"half")
        else:
            checkpoint.CheckpointIO().save_checkpoint({"state_dict": {}, "global_step": step, "epoch": 0}, path)
    return folder


def test_what_there_is_to_choose_from(tmp_path):
    assert resume.choose(tmp_path) == (None, {}, [])
    folder = listed(tmp_path / "a", last_1=4, last=None)
    assert resume.choose(folder) == (folder / BEFORE, checkpoint.read_manifest(folder)[BEFORE], [])
    (folder / BEFORE).write_bytes(b"")
    with pytest.raises(
        RunError, match=r"intact checkpoint .* got none \(last-1\.ckpt, last\.ckpt: missing or altered\)"
    ):
        resume.choose(folder)
    (folder / BEFORE).unlink()
    with pytest.raises(RunError, match="Expected an intact checkpoint"):
        resume.choose(folder)
    folder = listed(tmp_path / "b", best=3, last=None)  # a first save was cut short
    assert resume.choose(folder) == (None, {}, ["Skipped last.ckpt: it is missing or was altered."])
    (folder / checkpoint.MANIFEST).unlink()
    with pytest.raises(RunError, match=r"got none \(last\.ckpt: "):
        resume.choose(folder)


# ── which run ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_auto_goes_on_with_the_newest_of_the_same_configuration(tmp_path, monkeypatch, whole):
    logs = tmp_path / "logs"
    first = killed(configured(logs), monkeypatch, *PLACES["middle"])
    other = train(configured(logs, "plain", "seed=1", "trainer.max_epochs=1", "resume=auto")).folder
    assert other != first
    assert train(configured(logs, "plain", "resume=auto")).folder == first
    assert differing(bits(first), whole("plain")) == []
    assert train(configured(logs, "plain", "resume=auto", "trainer.max_epochs=3")).folder not in (first, other)


def edit(folder, **changes):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_of_several_unfinished_runs_the_one_that_began_last_goes_on(stopped, tmp_path):
    cfg = configured(tmp_path / "logs", "plain", "resume=auto")
    others = [Path(shutil.copytree(stopped, stopped.with_name(name))) for name in ("0_other", "z_other")]
    for folder, started in zip([stopped, *others], ("2026-03-01", "2026-02-01", "2026-01-01"), strict=True):
        edit(folder, started=started)
    assert resume.find(cfg).folder == stopped
    edit(others[0], started="2026-04-01")
    assert resume.find(cfg).folder == others[0]
    edit(others[0], status="completed")
    edit(stopped, config_hash="another")
    assert resume.find(cfg).folder == others[1]
    (others[1] / "run.json").write_text("{")
    assert resume.find(cfg) is None


def test_a_run_that_would_write_elsewhere_is_refused(stopped, tmp_path):
    """`confine` knows the ways out of a folder; here it is asked before a run from somebody goes on."""
    cfg = yaml_file.read(stopped / "config.yaml")
    cfg.callback.last.dirpath = str(tmp_path / "elsewhere")
    (stopped / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    with pytest.raises(ConfigError, match=r"Expected callback\.last\.dirpath to stay in the run folder but got"):
        resume.find(compose("train", [f"resume={stopped}", "resume_force=true"]))


def test_a_new_run_is_asked_for_by_saying_nothing(tmp_path):
    assert resume.find(configured(tmp_path)) is None
    assert resume.find(configured(tmp_path, "plain", "resume=auto")) is None


def test_a_run_is_named_by_any_path_to_it(stopped, monkeypatch):
    monkeypatch.setenv("HOME", str(stopped.parent))
    monkeypatch.chdir(stopped.parent)
    for name in (f"~/{stopped.name}", stopped.name, stopped):
        found = resume.find(compose("train", [f"resume='{name}'"]))
        assert found.folder == stopped and found.checkpoint == stopped / "checkpoints" / LAST
    assert (found.entry["step"], found.said, found.forced, found.changes, found.completed) == (10, (), False, (), False)
    assert (found.cfg.resume, found.cfg.paths.cache, found.cfg.paths.run) == (None, None, str(stopped))


def test_with_auto_the_cache_is_where_this_user_keeps_one(stopped, tmp_path):
    found = resume.find(configured(tmp_path / "logs", "plain", "resume=auto", "paths.cache=/mine"))
    assert found.folder == stopped and found.cfg.paths.cache == "/mine"


def test_a_job_of_a_sweep_goes_on_in_its_own_folder_or_begins(stopped, tmp_path):
    assert resume.find(configured(tmp_path), Session(job=stopped)).folder == stopped
    session = Session(job=tmp_path / "new")
    assert resume.find(configured(tmp_path / "logs", "plain", "resume=auto"), session) is None


def test_a_further_process_does_what_the_first_one_decided(stopped, tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "joined_folder", lambda session: stopped)
    edit(stopped, resumed=[])
    assert resume.find(configured(tmp_path)) is None
    edit(stopped, resumed=[{"checkpoint": None}, {"checkpoint": BEFORE}])
    found = resume.find(configured(tmp_path))
    assert (found.folder, found.checkpoint) == (stopped, stopped / "checkpoints" / BEFORE)
    assert found.cfg.data.samples == 80
    edit(stopped, resumed=[{"checkpoint": BEFORE}, {"checkpoint": None}])
    assert resume.find(configured(tmp_path)).checkpoint is None


def test_of_a_completed_run_nothing_is_left_to_do(stopped):
    edit(stopped, status="completed")
    (stopped / "config.yaml").unlink()
    found = resume.find(compose("train", [f"resume={stopped}"]))
    assert found.completed and found.checkpoint is None and not found.cfg


def test_a_run_that_failed_in_this_process_goes_back_to_its_last_checkpoint(stopped):
    cfg = compose("train")
    found = resume.back(stopped, cfg, ValueError("Loss is NaN."))
    assert (found.folder, found.cfg, found.checkpoint) == (stopped, cfg, stopped / "checkpoints" / LAST)
    assert found.entry["step"] == 10
    assert found.said == ("Loss is NaN. Going back to step 10, at half the rates.",)
    shutil.rmtree(stopped / "checkpoints")
    found = resume.back(stopped, cfg, ValueError("Loss is NaN."))
    assert found.checkpoint is None and found.said == ("Loss is NaN. Going back to step 0, at half the rates.",)


def test_what_a_recorded_run_names_is_checked_and_so_is_what_the_command_line_changes(stopped, tmp_path, monkeypatch):
    (tmp_path / "mine_there.py").write_text("class Mine: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = (stopped / "config.yaml").read_text()
    words = [f"resume={stopped}", "resume_force=true"]
    for node in ({"_target_": "mine_there.Mine"}, {"_target_": "os.mkdir"}, {"_target_": "torch.optim.SGD", "no": 1}):
        cfg = yaml_file.read(stopped / "config.yaml")
        cfg.callback.x = node
        (stopped / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
        with pytest.raises(ConfigError, match=r"callback\.x"):
            resume.find(compose("train", words))
    (stopped / "config.yaml").write_text(before)
    for word, said in (("trainer.max_epochs=many", "max_epochs"), ("loss._target_=mine_there.Mine", "mine_there")):
        with pytest.raises(ConfigError, match=said):
            resume.find(compose("train", [*words, word]), Session(typed=Typed((*words, word))))
    assert resume.find(compose("train", words), Session(typed=Typed(tuple(words)))).forced


def test_a_live_run_is_never_touched(stopped, tmp_path):
    edit(stopped, status="running", process=process.identity())
    with pytest.raises(RunError, match="in progress"):
        go_on(stopped)
    assert resume.find(configured(tmp_path / "logs", "plain", "resume=auto")) is None
    edit(stopped, process=process.identity() | {"began": "another start, so another process"})
    assert resume.find(configured(tmp_path / "logs", "plain", "resume=auto")).folder == stopped


def test_a_run_of_another_host_is_left_to_the_user(stopped, tmp_path):
    edit(stopped, status="running", process={"pid": 1, "host": "elsewhere", "began": "x"})
    assert resume.find(configured(tmp_path / "logs", "plain", "resume=auto")) is None
    assert resume.find(compose("train", [f"resume={stopped}"])).folder == stopped


def test_of_two_that_try_one_goes_on(stopped):
    found = resume.find(compose("train", [f"resume={stopped}"]))
    edit(stopped, updated="by another")
    with pytest.raises(RunError, match="another process"):
        Run(found.cfg, "train", found)


def test_a_completed_run_is_left_as_it_is(stopped, capsys):
    go_on(stopped)
    before = {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()}
    capsys.readouterr()
    result = go_on(stopped)
    assert "completed" in capsys.readouterr().out
    assert result.metrics["train/loss"] > 0
    assert {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()} == before


def test_a_run_that_died_while_testing_only_tests(tmp_path, monkeypatch):
    folder = killed(configured(tmp_path, "ema", "test=last"), monkeypatch, (Task, "test_step"), 1)
    before = load(folder / "checkpoints" / LAST)
    monkeypatch.setattr(Task, "training_step", lambda *a: pytest.fail("it trained"))
    metrics = go_on(folder).metrics
    assert {"test/accuracy", "train/loss", "val/loss", "best/val/loss"} <= metrics.keys()
    assert differing(leaves(load(folder / "checkpoints" / LAST)["state_dict"]), leaves(before["state_dict"])) == []
    assert sum("test/accuracy" in row for row in metrics_log.read(folder)) == 1


def test_a_run_that_came_to_no_checkpoint_begins_again_and_says_so(tmp_path, monkeypatch, whole, capsys):
    folder = killed(configured(tmp_path), monkeypatch, (Task, "training_step"), 2)
    go_on(folder)
    assert "starts over" in capsys.readouterr().out
    assert differing(bits(folder), whole("plain")) == []


def test_a_folder_that_was_moved_goes_on(stopped, tmp_path, whole):
    moved = tmp_path / "elsewhere" / stopped.name
    moved.parent.mkdir()
    shutil.move(stopped, moved)
    go_on(moved)
    assert differing(bits(moved), whole("plain")) == []
    assert not stopped.exists()


def test_secrets_that_were_typed_are_asked_for_in_the_environment(stopped):
    path = stopped / "config.yaml"
    path.write_text(path.read_text().replace("name: synthetic", "name: <redacted>"))
    with pytest.raises(ConfigError, match="environment"):
        go_on(stopped)


def test_the_record_says_when_and_from_where(stopped):
    before = json.loads((stopped / "run.json").read_text())
    go_on(stopped)
    record = json.loads((stopped / "run.json").read_text())
    (entry,) = record["resumed"]
    assert (entry["checkpoint"], entry["step"], entry["epoch"], entry["batch"]) == (LAST, 10, 1, 4)
    assert record["id"] == before["id"] and record["status"] == "completed" and record["error"] is None
    assert record["timing"]["data"] > before["timing"]["data"] and "fit" not in before["timing"]
    assert record["timing"]["fit"] > 0
    assert not (stopped / "checkpoints" / BEFORE).exists()


def test_checkpoints_are_saved_by_the_clock(tmp_path):
    cfg = configured(tmp_path, "plain", "callback.last.every_n_train_steps=null", "callback.last.every_n_minutes=1e-9")
    with pytest.MonkeyPatch.context() as patched:
        folder = killed(cfg, patched, (Task, "training_step"), 5)
    assert checkpoint.read_manifest(folder / "checkpoints")[LAST]["step"] == 4


@pytest.mark.parametrize("key", ["every_n_train_steps", "every_n_minutes"])
def test_an_interval_is_positive(key, tmp_path):
    with pytest.raises(ConfigError, match=key):
        LastCheckpoint(str(tmp_path), **{key: 0})

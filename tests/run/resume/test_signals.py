"""SIGTERM, SIGUSR1 and Ctrl-C: the run saves between two batches, says so, and goes on to the same bits."""

from __future__ import annotations

import json
import os
import signal

import pytest
from killing import bits, configured, differing, go_on, killed, run_folder

from tunesmith import signals
from tunesmith.errors import StoppedError
from tunesmith.run.resume import checkpoint, last_checkpoint, requeue
from tunesmith.run.resume.last_checkpoint import BEFORE, LAST
from tunesmith.task.base import Task


def signalled(cfg, monkeypatch, place, name="SIGTERM", times=1):
    """Train, and send signals where a function is called for the count-th time."""

    def send():
        for _ in range(times):
            os.kill(os.getpid(), getattr(signal, name))

    with signals.listening():
        return killed(cfg, monkeypatch, *place, send, StoppedError)


def end_of(folder):
    record = json.loads((folder / "run.json").read_text())
    return record["status"], record["error"]["signal"]


# 6 batches an epoch, 3 epochs. No save is due but those at the starts of epochs, and the one that the signal asks for.
PLACES = {
    "reading the data": (("tunesmith.data.synthetic.synthetic.Synthetic", "load"), 1, None),
    "filling the cache": (("tunesmith.cache.frozen.Frozen", "run"), 1, None),
    "training": ((Task, "training_step"), 9, {"epoch": 1, "batch": 3}),
    "validation": ((Task, "validation_step"), 3, {"epoch": 2, "batch": 0}),
    "a save": ((last_checkpoint, "settle"), 2, {"epoch": 2, "batch": 0}),
}
SILENT = ["callback.last.every_n_train_steps=null"]


def at(place):
    (owner, name), count, position = PLACES[place]
    if isinstance(owner, str):
        module, _, attribute = owner.rpartition(".")
        owner = getattr(__import__(module, fromlist=[attribute]), attribute)
    return ((owner, name), count), position


@pytest.mark.parametrize("place", PLACES)
def test_in_five_places_it_saves_stops_and_goes_on_to_the_same_bits(place, tmp_path, monkeypatch, whole):
    setting = "cached" if place == "filling the cache" else "plain"
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    where, position = at(place)
    folder = signalled(configured(tmp_path, setting, *SILENT), monkeypatch, where)
    assert end_of(folder) == ("stopped", "SIGTERM")
    manifest = checkpoint.read_manifest(folder / "checkpoints")
    if position is None:
        assert not manifest
    else:
        assert manifest[LAST].items() >= position.items()
    go_on(folder)
    assert differing(bits(folder), whole(setting)) == []


@pytest.mark.parametrize(("name", "times"), [("SIGUSR1", 1), ("SIGINT", 1), ("SIGTERM", 3)])
def test_other_signals_and_impatient_ones_save_too(name, times, tmp_path, monkeypatch, capfd):
    folder = signalled(configured(tmp_path, "plain", *SILENT), monkeypatch, at("training")[0], name, times)
    assert end_of(folder) == ("stopped", name)
    assert checkpoint.read_manifest(folder / "checkpoints")[LAST]["step"] == 9
    assert f"go on with: tunesmith train resume={folder}" in capfd.readouterr().err


def test_signals_during_the_save_leave_it_whole(tmp_path, monkeypatch, whole):
    folder = signalled(configured(tmp_path, "plain", *SILENT), monkeypatch, at("a save")[0], "SIGINT", 3)
    assert checkpoint.holds(folder / "checkpoints" / LAST) and checkpoint.holds(folder / "checkpoints" / BEFORE)
    go_on(folder)
    assert differing(bits(folder), whole("plain")) == []


def test_within_an_accumulation_it_waits_for_the_step(tmp_path, monkeypatch, whole):
    cfg = configured(tmp_path, "accumulation", "callback.last.every_n_train_steps=null")
    folder = signalled(cfg, monkeypatch, ((Task, "training_step"), 9))
    assert checkpoint.read_manifest(folder / "checkpoints")[LAST]["batch"] == 4
    go_on(folder)
    assert differing(bits(folder), whole("accumulation")) == []


def test_a_head_that_is_fitted_begins_its_epoch_again(tmp_path, monkeypatch):
    cfg = configured(tmp_path, "cached", "head=ridge", "trainer.max_epochs=1")
    folder = signalled(cfg, monkeypatch, ((Task, "training_step"), 2))
    assert not checkpoint.read_manifest(folder / "checkpoints")
    go_on(folder)


# ── SLURM ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A job of SLURM's, with an ``scontrol`` that writes down what it is asked; gives what it was asked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\nexit $REFUSE\n")
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name, value in {"JOB_ID": "17", "JOB_NAME": "train", "NTASKS": "1", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_NODEID", "0")
    return lambda: (tmp_path / "asked").read_text().split("\n")[:-1] if (tmp_path / "asked").exists() else []


def test_slurm_takes_the_job_back_once_it_is_saved(slurm, tmp_path, monkeypatch, whole):
    """Under SLURM Lightning would bring handlers of its own, which save and requeue from within the handler."""
    cfg = configured(tmp_path / "logs", "plain", *SILENT, "resume=auto")
    saved = []
    ask = requeue.requeue

    def asking(*args):
        saved.append(checkpoint.read_manifest(run_folder(cfg) / "checkpoints")[LAST]["step"])
        return ask(*args)

    monkeypatch.setattr("tunesmith.run.train.requeue", asking)
    folder = signalled(cfg, monkeypatch, at("training")[0], "SIGUSR1")
    assert slurm() == ["requeue 17"] and saved == [9]
    go_on(folder)
    assert differing(bits(folder), whole("plain")) == []


@pytest.mark.parametrize(
    ("name", "resumes", "task", "refuse", "asked", "says"),
    [
        ("SIGUSR1", True, None, "0", ["requeue 17"], "back in the queue"),
        ("SIGUSR2", True, "3", "0", ["requeue 9_3"], "back in the queue"),
        ("SIGUSR1", False, None, "0", [], "resume=auto"),
        ("SIGTERM", True, None, "0", [], ""),
        ("SIGINT", True, None, "0", [], ""),
        ("SIGUSR1", True, None, "1", ["requeue 17"], "Expected SLURM to take job 17 back"),
    ],
)
def test_which_jobs_are_put_back(name, resumes, task, refuse, asked, says, slurm, monkeypatch, capsys):
    monkeypatch.setenv("REFUSE", refuse)
    if task:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "9")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    assert requeue.requeue(StoppedError(name), resumes) == (bool(asked) and refuse == "0")
    assert slurm() == asked and says in capsys.readouterr().err


def test_outside_of_slurm_nobody_is_asked(capsys):
    assert not requeue.requeue(StoppedError("SIGUSR1"), True)
    assert capsys.readouterr().err == ""


def test_without_scontrol_it_is_a_sentence(slurm, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert not requeue.requeue(StoppedError("SIGUSR1"), True)
    assert "Expected SLURM" in capsys.readouterr().err

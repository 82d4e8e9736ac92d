"""SIGTERM, SIGUSR1 and Ctrl-C: the run saves between two batches, says so, and goes on to the same bits."""

from __future__ import annotations

import json
import os
import signal

import pytest
from killing import bits, configured, differing, go_on, killed, run_folder

from tunesmith.errors import StoppedError
from tunesmith.run.resume import checkpoint, last_checkpoint, requeue
from tunesmith.run.resume.last_checkpoint import BEFORE, LAST
from tunesmith.run.session import Session
from tunesmith.task.base import Task


def signalled(cfg, monkeypatch, place, name="SIGTERM", times=1):
    """Train, and send signals where a function is called for the count-th time."""

    def send():
        for _ in range(times):
            os.kill(os.getpid(), getattr(signal, name))

    session = Session.read()
    with session.stop.listening():
        return killed(cfg, monkeypatch, *place, send, StoppedError, session)


def end_of(folder):
    record = json.loads((folder / "run.json").read_text())
    return record["status"], record["error"]["signal"]


# 6 batches an epoch, 3 epochs. No save is due but those at the starts of epochs, and the one that the signal asks for.
PLACES = {
    "reading the data": (("tunesmith.data.synthetic.synthetic.Synthetic", "load"), 1, None),
    "filling the cache": (("tunesmith.cache.frozen.Frozen", "run"), 1, None),
    "training": ((Task, "training_step"), 9, {"epoch": 1, "batch": 3}),
    "validation": ((Task, "validation_step"), 3, {"epoch": 2, "batch": 0}),
    "a save": ((last_checkpoint.lightning, "settle"), 2, {"epoch": 2, "batch": 0}),
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
    assert f"resume with: tunesmith train resume={folder}" in capfd.readouterr().err


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

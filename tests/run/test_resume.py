"""Kill it anywhere, get the same bits."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, DataError, RunError
from tunesmith.run import exact, metrics_log, process, resume
from tunesmith.run.checkpoint import MANIFEST, load
from tunesmith.run.train import train
from tunesmith.task.base import Task

# 7 batches an epoch, dropout, augmentation: something to get wrong at every step.
BASE = [
    *("logger=none", "callback=quiet", "trainer=cpu", "trainer.max_epochs=3", "trainer.log_every_n_steps=2"),
    *("data.samples=80", "data.batch_size=8", "data.augment=light", "data.workers=0", "data.in_memory=false"),
    *("head=mlp", "callback.last.every_n_train_steps=2", "callback.last.every_n_minutes=null"),
]
TWO_PHASES = "policy.phases=[{train: [head], epochs: 1}, {train: [all]}]"
SETTINGS = {
    "plain": [],
    "ema": ["callback=[quiet,ema]"],
    "accumulation": ["trainer.accumulate_grad_batches=2", "callback.last.every_n_train_steps=1"],
    "phases": [TWO_PHASES, "rates=layer_decay"],
    "plateau": ["scheduler=reduce_on_plateau", "scheduler.patience=0", "scheduler.threshold=10"],
    "validation_inside": ["trainer.val_check_interval=2", "callback.last.every_n_train_steps=1"],
    "limited_in_steps": ["+trainer.max_steps=17"],
    "stopping_early": ["callback=[quiet,early_stopping]", "callback.early_stopping.patience=1", "optimizer.lr=0"],
}
TIMED = ("seconds", "per_second")


class KilledError(Exception):
    """What interrupts a run in a test."""


def configured(logs, setting="plain", *more):
    return compose("train", [*BASE, *SETTINGS[setting], f"paths.logs={logs}", *more])


def plain(value):
    """Comparable: tensors as their bits, what measures time left out."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not any(t in str(k) for t in TIMED)}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def bits(folder):
    """Weights, optimizer, schedule, averages, streams, counters, callbacks; and every line that was logged."""
    state = load(folder / "checkpoints" / "last.ckpt")
    state["callbacks"] = {k: v for k, v in state["callbacks"].items() if k != "Throughput"}
    state["resume"].pop("logged")  # a number of bytes, and some of them say how fast it was
    written = [plain(row) for row in metrics_log.read(folder)]
    moved = json.dumps(plain({**state, "pytorch-lightning_version": None}), default=repr, sort_keys=True)
    best = plain(load(folder / "checkpoints" / "best.ckpt")["state_dict"])
    return moved.replace(str(folder), "."), best, [row for row in written if set(row) - {"step", "epoch"}]


def run_folder(cfg):
    (folder,) = (path.parent for path in Path(cfg.paths.logs).rglob("run.json"))
    return folder


def killed(cfg, monkeypatch, hook, count, workers=0):
    """Train until a hook of the task is called for the count-th time; give the folder."""
    calls = 0
    original = getattr(Task, hook)

    def counting(self, *args):
        nonlocal calls
        calls += 1
        if calls == count:
            raise KilledError
        return original(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Task, hook, counting)
        with pytest.raises(KilledError):
            train(cfg)
    return run_folder(cfg)


def go_on(folder):
    return train(compose("train", [f"resume={folder}"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bits of a run that was never interrupted, by setting; made once."""
    made = {}

    def of(setting):
        if setting not in made:
            made[setting] = bits(train(configured(tmp_path_factory.mktemp("whole"), setting)).folder)
        return made[setting]

    return of


MIDDLE, BOUNDARY, VALIDATION = ("training_step", 12), ("on_train_epoch_start", 3), ("validation_step", 2)


@pytest.mark.parametrize("where", [MIDDLE, BOUNDARY, VALIDATION], ids=["middle", "boundary", "validation"])
@pytest.mark.parametrize("setting", ["plain", "ema", "accumulation", "phases"])
def test_a_run_that_was_killed_ends_with_the_same_bits(setting, where, tmp_path, monkeypatch, whole):
    folder = killed(configured(tmp_path, setting), monkeypatch, *where)
    result = go_on(folder)
    assert result.folder == folder
    assert bits(folder) == whole(setting)


@pytest.mark.parametrize("where", [("training_step", 12), ("training_step", 19)], ids=["12", "19"])
@pytest.mark.parametrize("setting", ["plateau", "validation_inside", "limited_in_steps", "stopping_early"])
def test_so_does_one_of_a_rarer_kind(setting, where, tmp_path, monkeypatch, whole):
    if setting in ("limited_in_steps", "stopping_early"):
        where = (where[0], where[1] - 7 if setting == "stopping_early" else where[1] - 3)
    folder = killed(configured(tmp_path, setting), monkeypatch, *where)
    go_on(folder)
    assert bits(folder) == whole(setting)

"""``kill -9`` from outside, three times a run, wherever it is; then the same command once more, to the same bits."""

from __future__ import annotations

import json
import random
import signal

import pytest
from killing import BASE, SETTINGS, bits, differing

# Runs in a process of its own; the last words say after how many calls of what it dies, and where it notes its samples.
DRIVER = """
import importlib, json, os, signal
import lightning.pytorch.callbacks
from tunesmith.task.base import Task

target, count, noted, without = sys.argv[-4:]
del sys.argv[-4:]
left = int(count)

def patched(owner, name, before):
    original = getattr(owner, name)
    def called(*args, **kwargs):
        before(*args)
        return original(*args, **kwargs)
    setattr(owner, name, called)

def die(*args):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def note(task, batch, batch_idx):
    with open(noted, "a") as file:
        file.write(json.dumps([task.current_epoch, batch_idx, batch["index"].tolist()]) + chr(10))

patched(Task, "training_step", note)
module, _, name = target.rpartition(".")
owner = Task if module == "Task" else importlib.import_module(module)
if hasattr(owner, "Path") and name == "replace":
    owner = owner.Path
patched(owner, name, die)
if without != "-":
    module, _, name = without.rpartition(".")
    setattr(importlib.import_module(module), name, lambda *a: None)
from tunesmith.__main__ import main
main()
"""
# Calls after which a process dies, from and to: it is to die before the run is done, three times.
PLACES = {
    "mid-epoch": ("Task.training_step", 2, 5),
    "boundary": ("Task.on_train_epoch_start", 2, 2),
    "validation": ("Task.validation_step", 1, 2),
    "before the manifest": ("tunesmith.run.resume.checkpoint._write_manifest", 1, 6),
    "before a file is in its place": ("tunesmith.atomic.replace", 8, 30),
}
SETS = ["accumulation", "ema", "gates", "cached"]
NEVER = ("Task.test_step", 0, 0)


@pytest.fixture
def killed_thrice(forked, tmp_path):
    """Trains a setting in processes that are killed, then once more to the end; gives its folder and its samples."""

    def run(setting, workers, place, without="-"):
        name, least, most = PLACES[place]
        drawn = random.Random(f"{setting} {workers} {place}")
        noted = tmp_path / "samples.jsonl"
        words = [*BASE, *SETTINGS[setting], f"data.workers={workers}", f"paths.logs={tmp_path}", "resume=auto"]
        codes = []
        for kill in range(4):
            target, count = (name, drawn.randint(least, most)) if kill < 3 else (NEVER[0], 0)
            done = forked(DRIVER, tmp_path, "train", *words, target, str(count), str(noted), without)
            codes.append(done.returncode)
            if done.returncode == 0:
                break
        assert codes == [-signal.SIGKILL] * 3 + [0], (codes, done.stderr)
        (folder,) = (path.parent for path in tmp_path.rglob("run.json"))
        assert len(json.loads((folder / "run.json").read_text())["resumed"]) == 3
        return folder, [json.loads(line) for line in noted.read_text().splitlines()]

    return run


def check_samples(noted):
    """Each step had its samples, the same ones where it was done again, and each epoch every sample once."""
    steps = {}
    for epoch, batch, index in noted:
        assert steps.setdefault((epoch, batch), index) == index
    epochs = [sorted(i for (e, _), index in steps.items() if e == epoch for i in index) for epoch in range(3)]
    assert len(set(epochs[0])) == len(epochs[0]) > 40 and epochs[0] == epochs[1] == epochs[2]
    assert sorted(steps) == [(epoch, batch) for epoch in range(3) for batch in range(len(steps) // 3)]


def check_cell(setting, workers, place, killed_thrice, whole):
    folder, noted = killed_thrice(setting, workers, place)
    assert differing(bits(folder), whole(setting)) == []
    check_samples(noted)


@pytest.mark.parametrize(("setting", "workers", "place"), [("gates", 2, "mid-epoch")])
def test_killed_three_times_a_run_ends_with_the_same_bits(setting, workers, place, killed_thrice, whole):
    check_cell(setting, workers, place, killed_thrice, whole)


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("setting", SETS)
def test_the_whole_matrix(setting, workers, place, killed_thrice, whole):
    check_cell(setting, workers, place, killed_thrice, whole)


@pytest.mark.long
@pytest.mark.parametrize("setting", SETS)
def test_without_the_random_streams_the_bits_differ(setting, killed_thrice, whole):
    """The negative control."""
    folder, _ = killed_thrice(setting, 0, "mid-epoch", "tunesmith.run.resume.loop_state.restore_streams")
    assert any("state_dict" in path for path in differing(bits(folder), whole(setting)))


def test_samples_that_are_not_the_same_are_found():
    """The negative control."""
    good = [[epoch, batch, list(range(8 * batch, 8 * batch + 8))] for epoch in range(3) for batch in range(6)]
    check_samples(good + good[-3:])
    for bad in ([*good, [0, 0, [1, 2]]], good[:-1], [*good[:-1], [2, 5, [0] * 8]]):
        with pytest.raises(AssertionError):
            check_samples(bad)

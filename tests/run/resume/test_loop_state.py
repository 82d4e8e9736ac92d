"""What a run is between two batches comes back whole, part by part."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import CatMetric, MeanMetric

from tunesmith.compat import lightning
from tunesmith.run.resume import loop_state

CPU = torch.device("cpu")


def draw():
    """A number of each stream; numpy's and python's second normal number is one that they keep from the first."""
    return random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(()).item()


@pytest.fixture(autouse=True)
def left_alone():
    """Puts the streams back where they were before the test."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    for put, state in zip((random.setstate, np.random.set_state, torch.set_rng_state), states, strict=True):
        put(state)


@pytest.mark.parametrize("drawn", [0, 1, 2, 700])
def test_each_stream_goes_on_where_it_was(drawn):
    for _ in range(drawn):
        draw()
    state = loop_state.streams(CPU)
    expected = [draw() for _ in range(3)]
    draw()
    loop_state.restore_streams(state, CPU)
    assert [draw() for _ in range(3)] == expected


def test_the_streams_are_plain_containers_and_tensors(tmp_path):
    np.random.randn()
    random.gauss(0, 1)
    torch.save(loop_state.streams(CPU), tmp_path / "x")
    expected = draw()
    loop_state.restore_streams(torch.load(tmp_path / "x", weights_only=True), CPU)
    assert draw() == expected


class Task(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.train_loss = MeanMetric()
        self.train_all = CatMetric()
        self.val_loss = MeanMetric()


@pytest.fixture
def task():
    made = Task()
    for value in (1.0, 2.0, 6.0):
        made.train_loss.update(value)
        made.train_all.update(value)
        made.val_loss.update(value)
    return made


def test_training_metrics_go_on_with_the_sums_and_the_counts(task):
    state, other = loop_state.metrics(task), Task()
    assert sorted(state) == ["train_all", "train_loss"]
    assert other.train_loss.update_count == 0
    other.train_loss.update(100.0)
    other.train_loss.compute()  # which is kept until the next update
    loop_state.restore_metrics(state, other)
    assert (other.train_loss.update_count, other.train_all.update_count) == (3, 3)
    assert other.train_loss.compute() == 3.0 and other.train_all.compute().tolist() == [1.0, 2.0, 6.0]
    other.train_loss.update(11.0)
    assert other.train_loss.compute() == 5.0 and other.train_loss.update_count == 4


def test_what_was_taken_of_metrics_does_not_move_with_them(task):
    state = loop_state.metrics(task)
    task.train_loss.update(100.0)
    task.train_all.update(100.0)
    task.train_loss.metric_state["mean_value"].add_(1)
    other = Task()
    loop_state.restore_metrics(state, other)
    assert other.train_loss.compute() == 3.0 and len(other.train_all.compute()) == 3


def loops():
    def counter():
        return {"ready": 9, "started": 9, "processed": 9, "completed": 8}

    return {
        "epoch_progress": {"total": counter(), "current": counter()},
        "epoch_loop.batch_progress": {"total": counter(), "current": counter(), "is_last_batch": True},
    }


def all_at(number):
    return dict.fromkeys(("ready", "started", "processed", "completed"), number)


@pytest.mark.parametrize("batch", [0, 4])
def test_counters_are_those_between_two_batches(batch):
    state = loops()
    lightning.settle(state, epoch=2, batch=batch)
    begun = {"ready": 3, "started": 3, "processed": 2, "completed": 2} if batch else all_at(2)
    assert state["epoch_progress"] == {"total": begun, "current": begun}
    progress = state["epoch_loop.batch_progress"]
    assert progress == {"total": all_at(8), "current": all_at(batch), "is_last_batch": False}


def test_the_start_of_an_epoch_is_entered_as_one():
    epoch_loop = SimpleNamespace(restarting=True)
    lightning.begin_epoch(SimpleNamespace(fit_loop=SimpleNamespace(epoch_loop=epoch_loop)))
    assert epoch_loop.restarting is False


def test_what_lightning_did_on_its_way_in_is_undone():
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=8), _restarting=True)
    lightning.undo_restart(SimpleNamespace(fit_loop=loop), 7)
    assert loop.epoch_loop._batches_that_stepped == 7 and loop._restarting is False

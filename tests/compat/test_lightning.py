from functools import reduce
from operator import getitem
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, WeightAveraging
from lightning.pytorch.loops import fit_loop, training_epoch_loop
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.connectors.logger_connector import logger_connector
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tunesmith.compat import lightning as ours
from tunesmith.errors import LibraryError

LOST = [
    (LearningRateMonitor, "_extract_lr"),
    (WeightAveraging, "_average_model"),
    (DDPStrategy, "configure_ddp"),
    (DDPStrategy, "model"),
    *((Trainer, name) for name in ("_logger_connector", "accumulate_grad_batches", "loggers", "should_stop")),
    (logger_connector._LoggerConnector, "_callback_metrics"),
    (_FitLoop, "_restarting"),
    (_FitLoop, "epoch_loop"),
    (_TrainingEpochLoop, "_batches_that_stepped"),
    (_TrainingEpochLoop, "restarting"),
    (rank_zero_only, "rank"),
    (fit_loop, "_FitLoop"),
    (training_epoch_loop, "_TrainingEpochLoop"),
    (logger_connector, "_LoggerConnector"),
]


@pytest.mark.parametrize(("owner", "name"), LOST, ids=lambda v: getattr(v, "__name__", v))
def test_a_version_without_the_name_is_refused(refused, owner, name):
    refused(ours, "lightning", owner, name)


@pytest.fixture
def trainer():
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=False)


def test_the_rank_is_lightnings(monkeypatch):
    assert ours.rank() == 0
    monkeypatch.setattr(rank_zero_only, "rank", 3)
    assert ours.rank() == 3


def test_a_fit_is_stopped_and_not(trainer):
    ours.stop(trainer)
    assert trainer.should_stop
    ours.stop(trainer, False)
    assert not trainer.should_stop
    del trainer.should_stop
    with pytest.raises(LibraryError, match="Trainer has no 'should_stop'"):
        ours.stop(trainer)


def test_loggers_are_away_for_a_while(trainer):
    loggers = trainer.loggers = [object()]
    with pytest.raises(KeyError), ours.unlogged(trainer):
        assert trainer.loggers == []
        raise KeyError
    assert trainer.loggers == loggers


def test_only_a_module_that_is_wrapped_is_wrapped_anew():
    calls = []
    strategy = SimpleNamespace(model=nn.Linear(1, 1), configure_ddp=lambda: calls.append(strategy.model))
    ours.wrap_anew(strategy, "module")
    assert not calls
    strategy.model = DistributedDataParallel.__new__(DistributedDataParallel)
    ours.wrap_anew(strategy, "module")
    assert calls == ["module"]


def test_averaged_weights_are_the_callbacks():
    callback = WeightAveraging()
    assert ours.average_of(callback) is None
    callback._average_model = "average"
    assert ours.average_of(callback) == "average"


def test_a_subclass_says_what_the_rate_is(trainer):
    class Halved(ours.RateMonitor):
        def rate(self, group):
            return super().rate(group) / 2

    for kind, rate in ((ours.RateMonitor, 0.5), (Halved, 0.25)):
        monitor = kind()
        monitor.lrs, monitor.last_momentum_values, monitor.last_weight_decay_values = {"x": []}, {}, {}
        assert monitor._extract_lr({"lr": 0.5}, "x") == {"x": rate}
        assert monitor.lrs == {"x": [rate]}


def test_the_loops_are_put_back(trainer):
    loop = trainer.fit_loop
    loop._restarting = True
    ours.undo_restart(trainer, 7)
    assert (ours.stepped(trainer), loop.restarting) == (7, False)
    loop.epoch_loop.restarting = True
    ours.begin_epoch(trainer)
    assert not loop.epoch_loop.restarting
    ours.put_callback_metrics(trainer, {"val/loss": torch.tensor(2.0)})
    assert trainer.callback_metrics == {"val/loss": torch.tensor(2.0)}


@pytest.mark.parametrize("name", ["_batches_that_stepped", "_restarting"])
def test_a_loop_without_the_attribute_is_refused(trainer, name):
    delattr(trainer.fit_loop if name == "_restarting" else trainer.fit_loop.epoch_loop, name)
    with pytest.raises(LibraryError, match=f"Loop has no '{name}'"):
        ours.undo_restart(trainer, 7)


def test_counters_are_those_between_two_batches(trainer):
    loops = trainer.fit_loop.state_dict()
    loops["epoch_loop.batch_progress"]["total"]["completed"] = 15
    for epoch, batch in ((2, 3), (2, 0)):
        ours.settle(loops, epoch, batch)
        begun = epoch + bool(batch)
        assert loops["epoch_progress"]["current"] == {
            "ready": begun,
            "started": begun,
            "processed": epoch,
            "completed": epoch,
        }
        progress = loops["epoch_loop.batch_progress"]
        assert set(progress["total"].values()) == {15}
        assert set(progress["current"].values()) == {batch}
        assert progress["is_last_batch"] is False


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("epoch_progress", "current"), "started"),
        (("epoch_loop.batch_progress", "total"), "ready"),
        (("epoch_loop.batch_progress",), "is_last_batch"),
    ],
)
def test_a_counter_of_another_name_is_refused(trainer, path, key):
    loops = trainer.fit_loop.state_dict()
    del reduce(getitem, path, loops)[key]
    with pytest.raises(LibraryError, match=f"progress has no '{key}'"):
        ours.settle(loops, 1, 2)

"""What tunesmith uses of Lightning beyond its documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from tunesmith.compat.required import assign, imported, require, update

with imported("lightning"):
    from lightning.pytorch.loops.fit_loop import _FitLoop
    from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
    from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector

require("lightning", LearningRateMonitor, "_extract_lr")
require("lightning", WeightAveraging, "_average_model")
require("lightning", DDPStrategy, "configure_ddp", "model")
require("lightning", Trainer, "_logger_connector", "accumulate_grad_batches", "loggers", "should_stop")
require("lightning", _LoggerConnector, "_callback_metrics")
require("lightning", _FitLoop, "_restarting", "epoch_loop")
require("lightning", _TrainingEpochLoop, "_batches_that_stepped", "restarting")
require("lightning", rank_zero_only, "rank")


def rank() -> int:
    """Get this process's number among those of a distributed run, 0 before it is known; there may be no trainer yet."""
    number: int = rank_zero_only.rank  # type: ignore[attr-defined]  # set when it is imported
    return number


def stop(trainer: Trainer, wanted: bool = True) -> None:
    """Have the fit end after the present batch, or take that back."""
    assign("lightning", trainer, "should_stop", wanted)


@contextmanager
def unlogged(trainer: Trainer) -> Iterator[None]:
    """Take the trainer's loggers away for the length of the body."""
    loggers = trainer.loggers
    assign("lightning", trainer, "loggers", [])
    try:
        yield
    finally:
        assign("lightning", trainer, "loggers", loggers)


def wrap_anew(strategy: DDPStrategy, module: LightningModule) -> None:
    """Wrap a module in a new `DistributedDataParallel`, which looks at what trains when it wraps, and never again.

    Args:
        strategy: Nothing happens where it has not wrapped the module, as outside of a fit.
        module: The trainer's.
    """
    if isinstance(strategy.model, DistributedDataParallel):
        assign("lightning", strategy, "model", module)
        strategy.configure_ddp()


def average_of(callback: WeightAveraging) -> AveragedModel | None:
    """Get the averaged weights, which the callback has from the start of a fit."""
    return callback._average_model


class RateMonitor(LearningRateMonitor):
    """Logs the learning rates, as Lightning's does; what the rate of a group of parameters is, a subclass may say."""

    def rate(self, group: Mapping[str, Any]) -> float:
        """Give the rate of a group of the optimizer."""
        rate: float = group["lr"]
        return rate

    def _extract_lr(self, param_group: dict[str, Any], name: str) -> dict[str, Any]:
        return super()._extract_lr({**param_group, "lr": self.rate(param_group)}, name)


# ── the middle of an epoch, in a checkpoint and back ────────────────────────────────────────────────────────────────


def stepped(trainer: Trainer) -> int:
    """Count the batches that the optimizer stepped at, by which Lightning numbers what it logs."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def put_callback_metrics(trainer: Trainer, metrics: Mapping[str, Tensor]) -> None:
    """Let callbacks and plateau schedules see metrics that were logged before a checkpoint was loaded."""
    trainer._logger_connector._callback_metrics.update(metrics)


def settle(loops: Mapping[str, Any], epoch: int, batch: int) -> None:
    """Write a checkpoint's counters as they are between two batches.

    Args:
        loops: ``checkpoint["loops"]["fit_loop"]``, changed in place.
        epoch: The epoch of the next batch.
        batch: Its number; 0 where the epoch has not begun.

    Raises:
        LibraryError: There is no such counter.
    """
    begun = epoch + 1 if batch else epoch
    for counter in loops["epoch_progress"].values():
        update("lightning", "epoch_progress", counter, ready=begun, started=begun, processed=epoch, completed=epoch)
    progress = loops["epoch_loop.batch_progress"]
    for which, done in (("total", progress["total"]["completed"]), ("current", batch)):
        counts = {"ready": done, "started": done, "processed": done, "completed": done}
        update("lightning", "batch_progress", progress[which], **counts)
    update("lightning", "batch_progress", progress, is_last_batch=False)


def begin_epoch(trainer: Trainer) -> None:
    """Make the loop over batches begin, and not go on: else a fit that is limited in steps takes a start for a middle.

    Raises:
        LibraryError: The loop does not say by the name that we know that it goes on.
    """
    assign("lightning", trainer.fit_loop.epoch_loop, "restarting", False)


def undo_restart(trainer: Trainer, stepped: int) -> None:
    """Undo what the fit did on its way into the epoch that it goes on with.

    Args:
        trainer: Whose fit has come to the first batch.
        stepped: What `stepped` was when the checkpoint was made.

    Raises:
        LibraryError: The loop has not what is to be put back.
    """
    # It counts one step more where it believes that validation was due.
    assign("lightning", trainer.fit_loop.epoch_loop, "_batches_that_stepped", stepped)
    # It leaves out a plateau schedule's step at the end of an epoch that it takes for restarted.
    assign("lightning", trainer.fit_loop, "_restarting", False)

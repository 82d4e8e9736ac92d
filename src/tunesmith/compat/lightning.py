"""Use what Lightning does not document, or does not declare for type checkers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
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


class Connected(Protocol):
    """The attributes that Lightning's connectors set on a trainer, unseen by type checkers."""

    callbacks: list[Callback]
    datamodule: LightningDataModule | None
    fast_dev_run: bool | int
    overfit_batches: int | float


def connected(trainer: Trainer) -> Connected:
    """Return the trainer, typed with what its connectors set."""
    untyped: Any = trainer
    seen: Connected = untyped
    return seen


def rank() -> int:
    """Return this process's rank; 0 until it is known, which may be before there is a trainer."""
    number: int = rank_zero_only.rank  # type: ignore[attr-defined]  # set when it is imported
    return number


def stop(trainer: Trainer, wanted: bool = True) -> None:
    """End the fit after the current batch, or undo that request."""
    assign("lightning", trainer, "should_stop", wanted)


@contextmanager
def unlogged(trainer: Trainer) -> Iterator[None]:
    """Remove the trainer's loggers for the duration of the block."""
    loggers = trainer.loggers
    assign("lightning", trainer, "loggers", [])
    try:
        yield
    finally:
        assign("lightning", trainer, "loggers", loggers)


def wrap_anew(strategy: DDPStrategy, module: LightningModule) -> None:
    """Wrap a module in a new `DistributedDataParallel`, which looks at what trains only when it wraps.

    Does nothing if the strategy has not wrapped the module, as outside of a fit.
    """
    if isinstance(strategy.model, DistributedDataParallel):
        assign("lightning", strategy, "model", module)
        strategy.configure_ddp()


def average_of(callback: WeightAveraging) -> AveragedModel | None:
    """Return the averaged weights; ``None`` before the fit starts."""
    return callback._average_model


class RateMonitor(LearningRateMonitor):
    """Logs learning rates as Lightning does; a subclass may define a group's rate."""

    def rate(self, group: Mapping[str, float]) -> float:
        """Return the learning rate of an optimizer group, given its numbers."""
        return group["lr"]

    def _extract_lr(self, param_group: dict[str, float], name: str) -> dict[str, float]:
        return super()._extract_lr({**param_group, "lr": self.rate(param_group)}, name)


# ── the middle of an epoch, in a checkpoint and back ────────────────────────────────────────────────────────────────


def stepped(trainer: Trainer) -> int:
    """Return the number of batches with an optimizer step, which Lightning logs as the step."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def put_callback_metrics(trainer: Trainer, metrics: Mapping[str, Tensor]) -> None:
    """Restore metrics logged before the checkpoint, for callbacks and plateau schedules."""
    trainer._logger_connector._callback_metrics.update(metrics)


def settle(loops: Mapping[str, Any], epoch: int, batch: int) -> None:
    """Set a checkpoint's loop counters to their values between two batches.

    Args:
        loops: ``checkpoint["loops"]["fit_loop"]``, changed in place.
        epoch: Epoch of the next batch.
        batch: Index of the next batch; 0 if the epoch has not begun.

    Raises:
        LibraryError: A counter is missing.
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
    """Make the batch loop start an epoch instead of resuming one, which ``max_steps`` would otherwise make it do.

    Raises:
        LibraryError: The loop's restart flag has another name in this version.
    """
    assign("lightning", trainer.fit_loop.epoch_loop, "restarting", False)


def undo_restart(trainer: Trainer, stepped: int) -> None:
    """Undo what Lightning's loops changed on their way into a resumed epoch.

    Args:
        trainer: At the first batch of the resumed fit.
        stepped: Value of `stepped` when the checkpoint was saved.

    Raises:
        LibraryError: An attribute to restore is missing.
    """
    # Lightning counts one step too many if it believes that validation was due.
    assign("lightning", trainer.fit_loop.epoch_loop, "_batches_that_stepped", stepped)
    # It skips a plateau schedule's step at the end of an epoch that it considers restarted.
    assign("lightning", trainer.fit_loop, "_restarting", False)

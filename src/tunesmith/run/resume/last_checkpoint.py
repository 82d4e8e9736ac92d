"""Save and load the checkpoints that a killed run resumes from: last.ckpt, and last-1.ckpt before it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, TypedDict, cast, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from tunesmith.compat import lightning
from tunesmith.contract.batch import Batch
from tunesmith.contract.checkpoint import Checkpoint
from tunesmith.data.module import TableData
from tunesmith.errors import ConfigError, RunError, StoppedError
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.run.record import disk_space
from tunesmith.run.resume import loop_state
from tunesmith.run.resume.checkpoint import POSITION, keep_as
from tunesmith.signals import Stop
from tunesmith.task.base import Task

LAST, BEFORE = "last.ckpt", "last-1.ckpt"


class Share(TypedDict):
    """State that each process saves for itself."""

    streams: loop_state.Streams
    train_metrics: dict[str, loop_state.MetricState]


class Position(TypedDict):
    """Where a run resumes: the next epoch and batch, and the state that goes with it.

    ``stepped`` counts batches with an optimizer step, ``logged`` the bytes of metrics.jsonl, ``seconds`` those of
    training; ``shares`` holds one entry per process.
    """

    epoch: int
    batch: int
    finished: bool
    stepped: int
    metrics: dict[str, Tensor]
    logged: int
    seconds: float
    shares: list[Share]
    folder: str


@final
class LastCheckpoint(Callback):
    """Keeps the last two states of a run; resuming from either is bit-identical to never stopping.

    It saves between two batches, after everything about the earlier one is logged: at the start of every epoch but the
    first, at the end of training, at the given intervals, and on a stop request, which it then obeys. It is the first
    callback, so that nothing of a new epoch has happened when its start is saved.

    Args:
        dirpath: Folder of checkpoints.
        every_n_train_steps: Save also after this many optimizer steps; ``None`` to disable.
        every_n_minutes: Save also this many minutes after the last save; ``None`` to disable.
        stop: The command's stop request.

    Raises:
        ConfigError: An interval is not positive.
    """

    def __init__(
        self,
        dirpath: str,
        every_n_train_steps: int | None = None,
        every_n_minutes: float | None = 10.0,
        stop: Stop | None = None,
    ) -> None:
        for name, value in (("every_n_train_steps", every_n_train_steps), ("every_n_minutes", every_n_minutes)):
            if value is not None and value <= 0:
                raise ConfigError(f"Expected callback.last.{name} to be positive or null but got {value}.")
        self.folder = Path(dirpath)
        self.every_n_train_steps = every_n_train_steps
        self.every_n_minutes = every_n_minutes
        self.stop = stop or Stop()
        self._saved_at, self._saved_step = time.monotonic(), 0
        self._saving: Position | None = None
        self._position: Position | None = None
        self._share: Share | None = None
        self._before, self._began = 0.0, time.perf_counter()
        self._awaited: set[str] = set()

    # ── saving ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resume at the start of an epoch, or save it."""
        if "epoch" in self._awaited:
            self._go_on(trainer, pl_module)
        elif trainer.current_epoch > 0:
            self._save(trainer, pl_module, trainer.current_epoch, 0)
        if self._stops(trainer):
            self._end()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Resume within an epoch, or save if a save is due."""
        if "batch" in self._awaited:
            if "epoch" in self._awaited:
                self._go_on(trainer, pl_module)
            self._awaited.discard("batch")
            lightning.undo_restart(trainer, self._resumed["stepped"])
            if self._stops(trainer):  # this position is on disk already
                self._end()
            return
        stops, may_save = self._stops(trainer), batch_idx > 0 and self._may_save_here(trainer, batch_idx)
        if may_save and (stops or self._due(trainer)):
            self._save(trainer, pl_module, trainer.current_epoch, batch_idx)
        if stops and (may_save or not batch_idx or not self._saves_within_epochs(trainer)):
            self._end()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state, before averaged weights replace it."""
        self._save(trainer, pl_module, trainer.current_epoch, 0, finished=True)
        self.stop.now()
        self.stop.obey()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop polling for signals."""
        self.stop.now()

    def _stops(self, trainer: Trainer) -> bool:
        """Return whether any process has received a stop request."""
        asked = self.stop.asked() is not None
        return bool(trainer.strategy.reduce_boolean_decision(asked, all=False)) if trainer.world_size > 1 else asked

    def _end(self) -> NoReturn:
        """Stop; the signal may have reached another process only."""
        signal = self.stop.asked()
        raise StoppedError(signal.name if signal else "SIGTERM")

    def _may_save_here(self, trainer: Trainer, batch_idx: int) -> bool:
        # Accumulated gradients are not in a checkpoint.
        return batch_idx % trainer.accumulate_grad_batches == 0 and self._saves_within_epochs(trainer)

    def _saves_within_epochs(self, trainer: Trainer) -> bool:
        # The features collected for a fitted head are not in a checkpoint, and other data cannot start at a batch.
        fitted = cast(Task, trainer.lightning_module).head_fit is not None
        return not fitted and not lightning.connected(trainer).overfit_batches and _data(trainer) is not None

    def _due(self, trainer: Trainer) -> bool:
        done = trainer.global_step - self._saved_step
        if self.every_n_train_steps and done and trainer.global_step % self.every_n_train_steps == 0:
            return True
        if self.every_n_minutes is None or (trainer.world_size > 1 and trainer.global_step % 20):
            return False  # agreeing on the time makes processes wait for each other
        due = time.monotonic() - self._saved_at >= 60 * self.every_n_minutes
        return bool(trainer.strategy.reduce_boolean_decision(due, all=False))

    def _save(self, trainer: Trainer, module: LightningModule, epoch: int, batch: int, finished: bool = False) -> None:
        if lightning.connected(trainer).fast_dev_run:
            return
        log = _log(trainer)
        self._saving = {
            "epoch": epoch,
            "batch": batch,
            "finished": finished,
            "stepped": lightning.stepped(trainer),
            "metrics": {k: v.detach().cpu().clone() for k, v in trainer.callback_metrics.items()},
            "logged": log.size if log is not None else 0,
            "seconds": self._before + time.perf_counter() - self._began,
            "shares": _gathered(_share(module), trainer.world_size),
            "folder": str(self.folder),
        }
        if trainer.is_global_zero:
            keep_as(self.folder / LAST, BEFORE)
        try:
            trainer.save_checkpoint(self.folder / LAST)
        finally:
            self._saving = None
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Checkpoint) -> None:
        """Add the position to our own checkpoints; a run cannot resume from the best weights."""
        if self._saving is not None:
            checkpoint[POSITION] = self._saving
            lightning.settle(checkpoint["loops"]["fit_loop"], self._saving["epoch"], self._saving["batch"])

    # ── resuming ──────────────────────────────────────────────────────────────────────────────────────────────────

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Checkpoint) -> None:
        """Read the position before loaders are created, since these prefetch at once.

        Raises:
            RunError: It was saved by a different number of processes.
        """
        state: Position = checkpoint[POSITION]
        if len(state["shares"]) != trainer.world_size:
            raise RunError(
                f"Expected to resume with {len(state['shares'])} process(es), as before, but got {trainer.world_size}."
            )
        self._position, self._share = state, state["shares"][trainer.global_rank]
        self._awaited = {"epoch", "batch"}
        self._before = state["seconds"]
        # Callbacks name files in the run folder, which may have moved.
        checkpoint["callbacks"] = _relocated(checkpoint["callbacks"], state["folder"], str(self.folder))
        data = _data(trainer)
        if data is not None:
            data.start_at(state["epoch"], state["batch"])
        log = _log(trainer)
        if log is not None and trainer.is_global_zero:
            log.cut(state["logged"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the metrics that callbacks and plateau schedules read; a finished run stays finished.

        Raises:
            RunError: There is no disk space for the checkpoints: three for a new run, one more for a resumed one.
        """
        if not lightning.connected(trainer).fast_dev_run:
            disk_space.check(self.folder, (1 if self._awaited else 3) * disk_space.of_weights(pl_module))
        self._began, self._saved_at = time.perf_counter(), time.monotonic()
        if self._awaited:
            device = pl_module.device
            metrics = {k: v.to(device) for k, v in self._resumed["metrics"].items()}
            lightning.put_callback_metrics(trainer, metrics)
            lightning.stop(trainer, self._resumed["finished"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Enter the epoch; from now on, signals wait for the next batch."""
        self.stop.later()
        self._saved_step = trainer.global_step
        if self._awaited and self._resumed["batch"] == 0:
            lightning.begin_epoch(trainer)

    @property
    def _resumed(self) -> Position:
        assert self._position is not None
        return self._position

    def _go_on(self, trainer: Trainer, module: LightningModule) -> None:
        self._awaited.discard("epoch")
        lightning.undo_restart(trainer, self._resumed["stepped"])
        assert self._share is not None
        loop_state.restore_streams(self._share["streams"], module.device)
        loop_state.restore_metrics(self._share["train_metrics"], module)


def _share(module: LightningModule) -> Share:
    return {"streams": loop_state.streams(module.device), "train_metrics": loop_state.metrics(module)}


def _gathered(share: Share, world_size: int) -> list[Share]:
    shares = [share] * world_size
    if world_size > 1:
        torch.distributed.all_gather_object(shares, share)
    return shares


def _data(trainer: Trainer) -> TableData | None:
    """Return the data module if it is ours, and so can start at a batch."""
    data = lightning.connected(trainer).datamodule
    return data if isinstance(data, TableData) else None


def _log(trainer: Trainer) -> MetricsLog | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, MetricsLog)), None)


def relocated(content: Mapping[str, object], old: str, new: str) -> dict[str, object]:
    """Replace a folder at the start of every string in nested containers, keys included."""
    moved = _relocated(dict(content), old, new)
    assert isinstance(moved, dict)
    return moved


def _relocated(value: object, old: str, new: str) -> object:
    if isinstance(value, dict):
        return {_relocated(k, old, new): _relocated(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [_relocated(v, old, new) for v in value]
    if isinstance(value, str) and (value == old or value.startswith(old + "/")):
        return new + value[len(old) :]
    return value

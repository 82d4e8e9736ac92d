"""The checkpoint that a killed run goes on from: last.ckpt, and last-1.ckpt before it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NoReturn, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from tunesmith.compat.lightning import begin_epoch, put_callback_metrics, settle, stepped, stop, undo_restart
from tunesmith.data.module import TableData
from tunesmith.errors import ConfigError, RunError, StoppedError
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.run.record import disk_space
from tunesmith.run.resume import loop_state
from tunesmith.run.resume.checkpoint import POSITION, keep_as
from tunesmith.signals import Stop

LAST, BEFORE = "last.ckpt", "last-1.ckpt"


@final
class LastCheckpoint(Callback):
    """Keeps the last two states of a run, each of which gives the bits of a run that was never interrupted.

    It saves between two batches, when every line about the earlier one is written: at the start of every epoch but the
    first, at the end of training, and in between where that is due or a stop is asked for; it then stops.
    It stands before all other callbacks, so that nothing of a new epoch has happened when its start is saved.

    Args:
        dirpath: The folder of checkpoints.
        every_n_train_steps: Also after so many optimizer steps; ``None`` for not.
        every_n_minutes: Also when so many minutes have gone by since the last save; ``None`` for not.
        stop: The request to stop; the command's.

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
        self._position: loop_state.State | None = None
        self._share: loop_state.State = {}
        self._before, self._began = 0.0, time.perf_counter()
        self._awaited: set[str] = set()

    # ── saving ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on from a start of an epoch, or save it."""
        if "epoch" in self._awaited:
            self._go_on(trainer, pl_module)
        elif trainer.current_epoch > 0:
            self._save(trainer, pl_module, trainer.current_epoch, 0)
        if self._stops(trainer):
            self._end()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Go on from the middle of an epoch, or save it where that is due."""
        if "batch" in self._awaited:
            if "epoch" in self._awaited:
                self._go_on(trainer, pl_module)
            self._awaited.discard("batch")
            undo_restart(trainer, self._share["stepped"])
            if self._stops(trainer):  # what it has just gone on from is on disk
                self._end()
            return
        stops, may_save = self._stops(trainer), batch_idx > 0 and self._may_save_here(trainer, batch_idx)
        if may_save and (stops or self._due(trainer)):
            self._save(trainer, pl_module, trainer.current_epoch, batch_idx)
        if stops and (may_save or not batch_idx or not self._saves_within_epochs(trainer)):
            self._end()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end, before averaged weights take the place of the present ones."""
        self._save(trainer, pl_module, trainer.current_epoch, 0, finished=True)
        self.stop.now()
        self.stop.obey()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Look for signals no more."""
        self.stop.now()

    def _stops(self, trainer: Trainer) -> bool:
        """Whether a signal has come, to any of the processes."""
        asked = self.stop.asked() is not None
        return bool(trainer.strategy.reduce_boolean_decision(asked, all=False)) if trainer.world_size > 1 else asked

    def _end(self) -> NoReturn:
        """End as the signal asks; it may have come to another process of a distributed run."""
        signal = self.stop.asked()
        raise StoppedError(signal.name if signal else "SIGTERM")

    def _may_save_here(self, trainer: Any, batch_idx: int) -> bool:
        # Gradients are not in a checkpoint.
        return batch_idx % trainer.accumulate_grad_batches == 0 and self._saves_within_epochs(trainer)

    def _saves_within_epochs(self, trainer: Any) -> bool:
        # What a head is to be fitted to is in no checkpoint; and who cannot begin at a batch must not be asked to.
        fitted = trainer.lightning_module.head_fit is not None
        return not fitted and not trainer.overfit_batches and _data(trainer) is not None

    def _due(self, trainer: Trainer) -> bool:
        done = trainer.global_step - self._saved_step
        if self.every_n_train_steps and done and trainer.global_step % self.every_n_train_steps == 0:
            return True
        if self.every_n_minutes is None or (trainer.world_size > 1 and trainer.global_step % 20):
            return False  # processes agree on the time by waiting for each other
        due = time.monotonic() - self._saved_at >= 60 * self.every_n_minutes
        return bool(trainer.strategy.reduce_boolean_decision(due, all=False))

    def _save(self, trainer: Any, module: LightningModule, epoch: int, batch: int, finished: bool = False) -> None:
        if trainer.fast_dev_run:
            return
        log = _log(trainer)
        self._position = {
            "epoch": epoch,
            "batch": batch,
            "finished": finished,
            "stepped": stepped(trainer),
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
            self._position = None
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the position to our own checkpoints; the best weights are no place to go on from."""
        if self._position is not None:
            checkpoint[POSITION] = self._position
            settle(checkpoint["loops"]["fit_loop"], self._position["epoch"], self._position["batch"])

    # ── going on ────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the position, before loaders are made: they read ahead as soon as they are.

        Raises:
            RunError: Another number of processes saved it.
        """
        state = checkpoint[POSITION]
        if len(state["shares"]) != trainer.world_size:
            raise RunError(
                f"Expected to go on with {len(state['shares'])} process(es), as before, but got {trainer.world_size}."
            )
        self._share = {**state, **state["shares"][trainer.global_rank]}
        self._awaited = {"epoch", "batch"}
        self._before = state["seconds"]
        # The folder may have been moved; callbacks that name files in it must find them.
        checkpoint["callbacks"] = relocated(checkpoint["callbacks"], state["folder"], str(self.folder))
        data = _data(trainer)
        if data is not None:
            data.start_at(state["epoch"], state["batch"])
        log = _log(trainer)
        if log is not None and trainer.is_global_zero:
            log.cut(state["logged"])

    def on_fit_start(self, trainer: Any, pl_module: LightningModule) -> None:
        """Bring back what callbacks and plateau schedules look at; a finished run stays finished.

        Raises:
            RunError: There is no room for the checkpoints: the last two and the best, or one more where they are there.
        """
        if not trainer.fast_dev_run:
            disk_space.check(self.folder, (1 if self._awaited else 3) * disk_space.of_weights(pl_module))
        self._began, self._saved_at = time.perf_counter(), time.monotonic()
        if self._awaited:
            device = pl_module.device
            metrics = {k: v.to(device) for k, v in self._share["metrics"].items()}
            put_callback_metrics(trainer, metrics)
            stop(trainer, self._share["finished"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lead Lightning into the epoch; from here on, signals wait for the next batch."""
        self.stop.later()
        self._saved_step = trainer.global_step
        if self._awaited and self._share["batch"] == 0:
            begin_epoch(trainer)

    def _go_on(self, trainer: Trainer, module: LightningModule) -> None:
        self._awaited.discard("epoch")
        undo_restart(trainer, self._share["stepped"])
        loop_state.restore_streams(self._share["streams"], module.device)
        loop_state.restore_metrics(self._share["train_metrics"], module)


def _share(module: LightningModule) -> loop_state.State:
    """What each process has for itself."""
    return {
        "streams": loop_state.streams(module.device),
        "train_metrics": loop_state.metrics(module),
    }


def _gathered(share: loop_state.State, world_size: int) -> list[loop_state.State]:
    if world_size == 1:
        return [share]
    shares: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(shares, share)
    return shares


def _data(trainer: Any) -> TableData | None:
    """The data module, if it can begin at a batch; one that does not derive from ours may not."""
    return trainer.datamodule if isinstance(trainer.datamodule, TableData) else None


def _log(trainer: Trainer) -> MetricsLog | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, MetricsLog)), None)


def relocated(value: Any, old: str, new: str) -> Any:
    """Replace a folder at the start of every text in nested containers, keys included."""
    if isinstance(value, dict):
        return {relocated(k, old, new): relocated(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [relocated(v, old, new) for v in value]
    if isinstance(value, str) and (value == old or value.startswith(old + "/")):
        return new + value[len(old) :]
    return value

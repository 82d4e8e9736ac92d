"""Stop at the step whose loss is no finite number, save nothing that is none, and try again at half the rate."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from tunesmith.data.module import TableData
from tunesmith.errors import ConfigError, NonFiniteError

SHOWN = 8
"""Samples that a sentence names; the log has all of them."""

log = logging.getLogger(__name__)


@final
class Finite(Callback):
    """Ends a fit, before the step is taken, where the loss is NaN or infinite, and refuses to save such weights.

    Looking at every loss costs nothing extra: the mean of the epoch looks at it too.

    Args:
        retries: How often the run may go back to its last checkpoint and try again, each time at half the learning
            rates of before; 0 to stop at once. In one process only.

    Raises:
        ConfigError: The number is negative.

    Attributes:
        halvings: How often the rates have been halved so far.
        stops: Whether it does; a search for rates that are too high must not be stopped by finding them.
    """

    def __init__(self, retries: int = 0) -> None:
        if retries < 0:
            raise ConfigError(f"Expected callback.finite.retries to be 0 or more but got {retries}.")
        self.retries = retries
        self.halvings = 0
        self.stops = True
        self._batch: Any = None

    def state_dict(self) -> dict[str, Any]:
        """A run that goes on goes on at its halved rates."""
        return {"halvings": self.halvings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the larger number: going back must not undo what it is for."""
        self.halvings = max(self.halvings, state_dict["halvings"])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember whose loss comes next."""
        self._batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at the loss.

        Raises:
            NonFiniteError: It is NaN or infinite.
        """
        if not self.stops or torch.isfinite(loss).all():
            return
        names = _names(trainer, self._batch)
        log.info("Samples of the batch without a finite loss: %s", ", ".join(names) or "unknown")
        already = "" if not _broken(pl_module.named_parameters()) else " (the step before it broke the weights)"
        raise NonFiniteError(
            f"Expected a finite loss but got {loss.item()} at epoch {trainer.current_epoch}, step "
            f"{trainer.global_step}{already}, from {_some(names)}; nothing of it is saved. Look at these samples, "
            "lower optimizer.lr, set trainer.gradient_clip_val=1, or let callback.finite.retries=3 try lower rates."
        )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Lower the rates of this step; the task puts them back to the schedule's after it."""
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * 0.5**self.halvings

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Look at the weights, and at their average where that is what is saved.

        Raises:
            NonFiniteError: One is NaN or infinite.
        """
        saved, names = checkpoint["state_dict"], [name for name, _ in pl_module.named_parameters()]
        averages = ((name, saved[name]) for name in names if name in saved)
        broken = [*_broken(pl_module.named_parameters()), *_broken(averages)]
        if broken:
            raise NonFiniteError(
                f"Expected finite weights to save but {len(set(broken))} of {len(names)} tensors are not, first "
                f"{broken[0]}, at epoch {trainer.current_epoch}, step {trainer.global_step}, after "
                f"{_some(_names(trainer, self._batch))}; what was saved before is left as it is. Lower optimizer.lr, "
                "set trainer.gradient_clip_val=1, or let callback.finite.retries=3 try lower rates."
            )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say whether there is another try."""
        if isinstance(exception, NonFiniteError) and trainer.world_size == 1 and self.halvings < self.retries:
            exception.retry = self.halvings + 1


def of(trainer: Any) -> Finite:
    """The one among a trainer's callbacks; every run has it."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, Finite))


def _broken(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    # Of shards this process's own: the others may not be looking.
    own = ((name, tensor.to_local() if hasattr(tensor, "to_local") else tensor) for name, tensor in tensors)
    return [name for name, tensor in own if tensor.is_floating_point() and not torch.isfinite(tensor).all()]


def _names(trainer: Any, batch: Any) -> list[str]:
    """What the samples of a batch are called: files by their path; nothing where the data cannot tell."""
    data, index = trainer.datamodule, batch.get("index") if isinstance(batch, dict) else None
    if not isinstance(data, TableData) or index is None:
        return []
    table = data.table
    samples = (table.samples[row] for row in index.tolist())
    return [
        str(sample) if isinstance(sample, Path) else str(table.names[row])
        for row, sample in zip(index.tolist(), samples, strict=True)
    ]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"the samples {', '.join(names[:SHOWN])}{more}" if names else "samples that the data do not name"

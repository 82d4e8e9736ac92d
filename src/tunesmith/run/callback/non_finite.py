"""Stop at a non-finite loss, never save non-finite weights, and retry at half the learning rates."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from tunesmith.compat.lightning import connected
from tunesmith.contract.batch import Batch
from tunesmith.contract.checkpoint import Checkpoint
from tunesmith.data.module import TableData
from tunesmith.errors import ConfigError, NonFiniteError

SHOWN = 8
"""Number of samples named in a message; the log has all of them."""

log = logging.getLogger(__name__)


@final
class Finite(Callback):
    """Stops the fit before the optimizer step if the loss is NaN or infinite, and refuses to save such weights.

    The check is free: the epoch's mean loss synchronises with the device anyway.

    Args:
        retries: How often the run may return to its last checkpoint, each time at half the learning rates; 0 to stop
            at once. In one process only.

    Raises:
        ConfigError: ``retries`` is negative.

    Attributes:
        halvings: Number of halvings so far.
        stops: Whether to stop; false during a learning-rate range test, which looks for divergence.
    """

    def __init__(self, retries: int = 0) -> None:
        if retries < 0:
            raise ConfigError(f"Expected callback.finite.retries to be 0 or more but got {retries}.")
        self.retries = retries
        self.halvings = 0
        self.stops = True
        self._batch: Batch | None = None

    def state_dict(self) -> dict[str, int]:
        """Return the number of halvings, which a resumed run keeps."""
        return {"halvings": self.halvings}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Keep the larger number, since a retry loads an earlier checkpoint."""
        self.halvings = max(self.halvings, state_dict["halvings"])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Remember the batch, to name its samples."""
        self._batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Check the loss.

        Raises:
            NonFiniteError: The loss is NaN or infinite.
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
        """Halve the rates of this step; the task restores the schedule's afterwards."""
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * 0.5**self.halvings

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Checkpoint) -> None:
        """Check the weights, and their average if that is saved.

        Raises:
            NonFiniteError: A weight is NaN or infinite.
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
        """Request another try if any is left."""
        if isinstance(exception, NonFiniteError) and trainer.world_size == 1 and self.halvings < self.retries:
            exception.retry = self.halvings + 1


def of(trainer: Trainer) -> Finite:
    """Return the trainer's `Finite` callback, which every run has."""
    return next(callback for callback in connected(trainer).callbacks if isinstance(callback, Finite))


def _broken(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    # Only this process's own shards: gathering would deadlock if the others do not check.
    own = ((name, tensor.to_local() if hasattr(tensor, "to_local") else tensor) for name, tensor in tensors)
    return [name for name, tensor in own if tensor.is_floating_point() and not torch.isfinite(tensor).all()]


def _names(trainer: Trainer, batch: Batch | None) -> list[str]:
    """Return the names of a batch's samples, for files their paths; empty if the data do not know them."""
    data, index = connected(trainer).datamodule, batch.get("index") if isinstance(batch, dict) else None
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

"""Steps over accumulated batches, each of them the step over one batch that holds them all."""

from __future__ import annotations

from typing import Any, cast, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, distributed
from torch.optim import Optimizer

from tunesmith.task.base import Task


@final
class WholeBatches(Callback):
    """Makes the gradient of accumulated batches the mean over their samples, or over the tokens that count.

    Lightning (2.6) divides the loss of every batch by ``accumulate_grad_batches``: where the last window of an epoch
    has fewer batches its step is too small, and where a batch has fewer samples, or tokens, these count too much. Each
    batch counts by them here, and the sum is brought to their number in the window; full windows keep their bits. So
    too where processes, whose gradients are averaged, have different numbers of tokens. It holds for losses that are
    means over samples or tokens.
    """

    def __init__(self) -> None:
        self._sizes: list[float] = []
        self._share = 1.0

    @property
    def _first(self) -> float:
        """What the first batch of the window counts for; 1 where nothing in it does."""
        return self._sizes[0] or 1

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Count the samples, or tokens, of the window."""
        task = cast(Task, pl_module)
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._sizes = []
        own = task.terms(batch)
        self._sizes.append(mean_of_processes(own, task.device) if task.spec.ragged else own)
        self._share = own / self._sizes[-1] if self._sizes[-1] else 1.0

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Let a batch count as many times as the first of the window as it has times its samples, or tokens."""
        if self._sizes and self._sizes[-1] != self._first:
            loss.mul_(self._sizes[-1] / self._first)
        if self._share != 1:
            loss.mul_(self._share)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Bring the sum to the mean over the samples, before gradients are clipped."""
        assumed = trainer.accumulate_grad_batches * self._first if self._sizes else 0
        if assumed != sum(self._sizes) and any(self._sizes):
            for parameter in pl_module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(assumed / sum(self._sizes))


def mean_of_processes(number: float, device: torch.device) -> float:
    """The mean over all processes of a number that each of them has."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return number
    total = torch.tensor(float(number), device=device)
    distributed.all_reduce(total)
    return float(total) / distributed.get_world_size()

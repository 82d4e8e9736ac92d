"""Steps over accumulated batches, each of them the step over one batch that holds them all."""

from __future__ import annotations

from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer


@final
class WholeBatches(Callback):
    """Makes the gradient of accumulated batches the mean over their samples.

    Lightning (2.6) divides the loss of every batch by ``accumulate_grad_batches``: where the last window of an epoch
    has fewer batches its step is too small, and where the last batch has fewer samples these count too much. Each batch
    counts by its samples here, and the sum is brought to their number in the window; full windows keep their bits. It
    holds for losses that are means over samples.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Count the samples of the window."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._sizes = []
        self._sizes.append(len(batch["index"]))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Let a batch count as many times as the first of the window as it has times its samples."""
        if self._sizes and self._sizes[-1] != self._sizes[0]:
            loss.mul_(self._sizes[-1] / self._sizes[0])

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Bring the sum to the mean over the samples, before gradients are clipped."""
        assumed = trainer.accumulate_grad_batches * self._sizes[0] if self._sizes else 0
        if assumed != sum(self._sizes):
            for parameter in pl_module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(assumed / sum(self._sizes))

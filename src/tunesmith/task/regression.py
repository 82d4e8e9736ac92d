"""One or more numbers an image."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tunesmith.task.base import Task


@final
class Regression(Task):
    """Regression: outputs ``(B, K)`` are values in standard deviations from the mean of train.

    The loss sees standardised values, so that learning rates mean what they do elsewhere, and several values count the
    same; predictions and metrics are in the values' own units.
    """

    targets = ("value",)

    def predict(self, outputs: Tensor) -> Tensor:
        """Values ``(B, K)`` in their own units, float32."""
        mean, std = self._scale(outputs.device)
        return outputs.float() * std + mean

    def labels(self, predictions: Tensor) -> Tensor:
        """The values ``(B, K)`` themselves."""
        return predictions

    def truth(self, target: Tensor) -> Tensor:
        """The values ``(B, K)`` themselves."""
        return target.contiguous()  # torchmetrics needs it, and mixtures are not

    def encode(self, target: Tensor) -> Tensor:
        """Values ``(B, K)`` in standard deviations from the mean of train."""
        mean, std = self._scale(target.device)
        return (target - mean) / std

    def _scale(self, device: torch.device) -> tuple[Tensor, Tensor]:
        # Not buffers: bf16-true would round them, and the predictions with them.
        mean = torch.tensor(self.spec.target_mean, dtype=torch.float32, device=device)
        return mean, torch.tensor(self.spec.target_std, dtype=torch.float32, device=device)

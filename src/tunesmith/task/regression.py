"""Predict one or more numbers per sample."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tunesmith.task.base import Task


@final
class Regression(Task):
    """Regression: outputs ``(B, K)`` are values standardised by mean and standard deviation of train.

    The loss takes standardised values, so that learning rates transfer from other tasks and several values count
    equally; predictions and metrics are in the values' own units.
    """

    targets = ("value",)

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert outputs to values ``(B, K)`` in their own units, float32."""
        mean, std = self._scale(outputs.device)
        return outputs.float() * std + mean

    def labels(self, predictions: Tensor) -> Tensor:
        """Return the values ``(B, K)`` unchanged."""
        return predictions

    def truth(self, target: Tensor) -> Tensor:
        """Return the values ``(B, K)`` unchanged."""
        return target.contiguous()  # required by torchmetrics; mixtures are not contiguous

    def encode(self, target: Tensor) -> Tensor:
        """Standardise values ``(B, K)`` by mean and standard deviation of train."""
        mean, std = self._scale(target.device)
        return (target - mean) / std

    def _scale(self, device: torch.device) -> tuple[Tensor, Tensor]:
        # No buffers: bf16-true would round them, and with them the predictions.
        mean = torch.tensor(self.spec.target_mean, dtype=torch.float32, device=device)
        return mean, torch.tensor(self.spec.target_std, dtype=torch.float32, device=device)

"""Predict one of several ordered classes."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tunesmith.contract.spec import DataSpec
from tunesmith.task.base import Task


@final
class Ordinal(Task):
    """Ordinal regression: outputs ``(B, K - 1)`` are logits that the level exceeds 0, 1, ….

    The extended binary classification of Li and Lin (2007) and Niu et al. (2016).
    """

    targets = ("ordinal",)
    own_labels = True

    @classmethod
    def num_outputs(cls, spec: DataSpec) -> int:
        """Return K - 1 for K levels."""
        return len(spec.class_names) - 1

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert logits to class probabilities ``(B, K)`` in float32.

        The outputs are fitted independently: if exceeding a higher level is predicted as more probable than exceeding a
        lower one, the lower level's probability is used for both.
        """
        above = outputs.float().sigmoid().cummin(dim=-1).values
        edge = above[..., :1]
        above = torch.cat([torch.ones_like(edge), above, torch.zeros_like(edge)], dim=-1)
        return above[..., :-1] - above[..., 1:]

    def labels(self, predictions: Tensor) -> Tensor:
        """Return levels ``(B,)``: the number exceeded with a probability above one half, as in the papers (the median).

        Not the most probable level: with uncertain outputs the levels in the middle, unlike those at the ends, get
        little probability, so a model that has learnt little would only predict the ends.
        """
        return (predictions.cumsum(dim=-1) < 0.5).sum(dim=-1)

"""One of several classes in an order."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tunesmith.contract.spec import DataSpec
from tunesmith.task.base import Task


@final
class Ordinal(Task):
    """Ordinal regression: outputs ``(B, K - 1)`` are logits of the level being above 0, above 1, ….

    The extended binary classification of Li and Lin (2007) and Niu et al. (2016).
    """

    targets = ("ordinal",)
    own_labels = True

    @classmethod
    def num_outputs(cls, spec: DataSpec) -> int:
        """K - 1, of K levels."""
        return len(spec.class_names) - 1

    def predict(self, outputs: Tensor) -> Tensor:
        """Class probabilities ``(B, K)`` in float32.

        The outputs are fitted one by one: where one says that a higher level is more probable to be passed than a lower
        one, the lower one's word counts.
        """
        above = outputs.float().sigmoid().cummin(dim=-1).values
        edge = above[..., :1]
        above = torch.cat([torch.ones_like(edge), above, torch.zeros_like(edge)], dim=-1)
        return above[..., :-1] - above[..., 1:]

    def labels(self, predictions: Tensor) -> Tensor:
        """Levels ``(B,)``: as many as are passed with a probability above one half, as in the papers; the median.

        Not the most probable one: of a level in the middle, unlike of those at the ends, there is little between two
        outputs that are unsure, so that a model that has learnt little would only ever name the ends.
        """
        return (predictions.cumsum(dim=-1) < 0.5).sum(dim=-1)

"""Measure the disagreement of two passes of a sample, each with its own dropout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from tunesmith.task.loss.loss import Loss

DISAGREEMENT = "disagreement"
"""Name of its term of a loss."""


@final
class Disagreement(Loss):
    """Mean of the two Kullback-Leibler divergences between the class probabilities of two passes (Liang et al., 2021).

    The target is the second pass's outputs ``(B, K)``.
    """

    targets = ()

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Loss.losses`."""
        first, second = outputs.log_softmax(dim=-1), target.float().log_softmax(dim=-1)
        there = F.kl_div(first, second, reduction="none", log_target=True)
        back = F.kl_div(second, first, reduction="none", log_target=True)
        return (there + back).sum(dim=-1) / 2


def drops(module: nn.Module) -> bool:
    """Return whether a module drops something at random in training: by dropout, or stochastic depth."""
    share = getattr(module, "p", None) or getattr(module, "drop_prob", None)
    named = any(word in type(module).__name__ for word in ("Drop", "StochasticDepth"))
    return named and isinstance(share, float) and share > 0


def r_drop_mistakes(weight: float, fitted: bool) -> Iterator[str]:
    """Report a negative weight, or a head without training steps.

    Args:
        weight: Weight of `Disagreement`.
        fitted: Whether the head is fitted rather than trained.
    """
    if weight < 0:
        yield f"Expected task.r_drop to be 0 or more but got {weight}."
    if weight and fitted:
        yield f"Expected a head trained step by step for task.r_drop={weight} but got a fitted one."

"""What two passes of a sample differ by, each with dropout of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from tunesmith.task.loss.loss import Loss

DISAGREEMENT = "disagreement"
"""Its term of a loss."""


@final
class Disagreement(Loss):
    """Mean of the two Kullback-Leibler divergences of the classes' probabilities in two passes (Liang et al., 2021).

    It takes the outputs of the second pass ``(B, K)`` for the target.
    """

    targets = ()

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Loss.losses`."""
        first, second = outputs.log_softmax(dim=-1), target.float().log_softmax(dim=-1)
        there = F.kl_div(first, second, reduction="none", log_target=True)
        back = F.kl_div(second, first, reduction="none", log_target=True)
        return (there + back).sum(dim=-1) / 2


def drops(module: nn.Module) -> bool:
    """Whether a module leaves something out at random in training: by dropout, or stochastic depth."""
    share = getattr(module, "p", None) or getattr(module, "drop_prob", None)
    named = any(word in type(module).__name__ for word in ("Drop", "StochasticDepth"))
    return named and isinstance(share, float) and share > 0


def r_drop_mistakes(weight: float, fitted: bool) -> Iterator[str]:
    """Say so where a weight is negative, or a head has no training steps.

    Args:
        weight: That of `Disagreement`.
        fitted: Whether the head is solved for, not trained.
    """
    if weight < 0:
        yield f"Expected task.r_drop to be 0 or more but got {weight}."
    if weight and fitted:
        yield (f"Expected a head that is trained by steps for task.r_drop={weight} but got one that is fitted.")

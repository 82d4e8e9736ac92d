"""Score language models over all tokens that count, of all steps and processes."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torchmetrics import MeanMetric


@final
class Perplexity(MeanMetric):
    """Exponential of the mean negative log-likelihood of the tokens."""

    higher_is_better = False  # type: ignore[assignment]  # None for aggregators in general

    def __init__(self) -> None:
        super().__init__()

    def compute(self) -> Tensor:
        """Return a scalar."""
        mean: Tensor = super().compute()
        return mean.exp()


@final
class TokenAccuracy(MeanMetric):
    """Share of tokens that were predicted as most probable."""

    higher_is_better = True  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()


def mean_of_texts(losses: Tensor, counts: Tensor) -> Tensor:
    """Average the token losses of each text ``(B,)``.

    Args:
        losses: Losses of the tokens that count, text by text ``(M,)``.
        counts: Whether a token counts ``(B, T)``.
    """
    sums = losses.new_zeros(len(counts)).index_add(0, counts.nonzero()[:, 0], losses)
    return sums / counts.sum(dim=1).clamp_min(1)

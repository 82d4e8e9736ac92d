"""Average the terms of a loss, each a sum and a count, over an optimizer batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Term:
    """One term of a loss over a batch: a sum and its count.

    It is stored as its mean: multiplying and dividing a mean, such as torch's own losses, would change its last bits.

    Attributes:
        mean: The sum divided by the count, a scalar; 0, with a gradient, if nothing counts.
        count: Number of samples, tokens or whatever the sum is over.
    """

    mean: Tensor
    count: float

    @classmethod
    def of_sum(cls, total: Tensor, count: float) -> Term:
        """Build a term from a sum."""
        return cls(total / max(count, 1), count)

    @property
    def sum(self) -> Tensor:
        """The sum, a scalar."""
        return self.mean * self.count


Terms: TypeAlias = Mapping[str, Term]


def objective(terms: Terms, weights: Mapping[str, float]) -> Tensor:
    """Sum the means of a batch's own terms, each times its weight (by default 1)."""
    return _added({name: term.mean for name, term in terms.items()}, weights)


def share_of_step(
    terms: Terms, weights: Mapping[str, float], totals: Mapping[str, float] | None, batches: int, uneven: bool
) -> Tensor:
    """Compute the loss whose gradients add up to that of the mean over the whole optimizer batch.

    A trainer divides the loss of each batch by ``batches``, sums the gradients of a step's batches and averages them
    over processes. Plain means would overweight a batch with fewer samples or tokens, and make the step over the last
    few batches of an epoch too small; here each term counts by its share of the step's total.

    Args:
        terms: The terms of one batch.
        weights: Weights of the terms by name; 1 by default.
        totals: Count of each term in all batches of the step, in this process; ``None`` if the step is this batch.
        batches: Number of batches that the trainer divides by.
        uneven: Whether processes may have different counts.
    """
    shares: dict[str, Tensor] = {}
    for name, term in terms.items():
        total = term.count if totals is None else totals[name] / batches
        if uneven:
            total = mean_of_processes(total, term.mean.device)
        # Skip a factor of 1, so that full batches keep their bits.
        shares[name] = term.mean if total in (0, term.count) else term.mean * (term.count / total)
    return _added(shares, weights)


def mean_of_processes(number: float, device: torch.device) -> float:
    """Average a number over all processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return number
    total = torch.tensor(float(number), device=device)
    distributed.all_reduce(total)
    return float(total) / distributed.get_world_size()


def _added(means: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    weighted = [mean * weights[name] if name in weights else mean for name, mean in means.items()]
    first, *others = weighted
    for other in others:
        first = first + other
    return first

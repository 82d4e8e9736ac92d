"""Fit a logistic regression to the features of a frozen backbone."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.nn import functional as F

from tunesmith.head.fitted import Fitted, Solution, rotated
from tunesmith.target.base import of

GRID = tuple(10.0**exponent for exponent in range(5, -4, -1))
"""Strengths that ``auto`` tries in turn, from 100,000 to 0.001."""

FOLDS = 5


@final
class Logistic(Fitted):
    """Multinomial logistic regression, or one logistic regression per label, to convergence by L-BFGS.

    ``alpha`` is 1 / C of scikit-learn's ``LogisticRegression`` on standardised features, also for two classes. ``auto``
    chooses the strength with the lowest loss in stratified five-fold cross-validation on train, tried from strong to
    weak until the loss rises. It ignores groups: if images within a group are similar, the chosen strength is too weak
    for new groups; set it instead.

    Takes the arguments of `Fitted`.

    Raises:
        ConfigError: The strength is not positive, the features are unknown, or the targets are no classes or labels.
    """

    targets = ("class", "multilabel")

    def solve(self, x: Tensor, target: Tensor, weight: Tensor, alpha: float | None) -> Solution:
        """Solve by L-BFGS; see `Fitted.solve`."""
        scores, axes = rotated(x)  # the penalty is invariant to rotation, and directions without data stay 0
        problem = _Problem(scores, target, weight, of(self.target).independent)
        chosen = _choose(problem) if alpha is None else alpha
        inner, bias = minimise(problem, chosen)
        return Solution(axes @ inner, bias, chosen)


class _Problem(NamedTuple):
    """Scores ``(N, R)``, targets ``(N, K)`` from 0 to 1, weights ``(N,)``, and whether outputs are independent."""

    scores: Tensor
    target: Tensor
    weight: Tensor
    independent: bool

    def loss(self, outputs: Tensor) -> Tensor:
        """Return the weighted sum over the samples."""
        if self.independent:
            losses = F.binary_cross_entropy_with_logits(outputs, self.target, reduction="none").sum(dim=1)
        else:
            losses = F.cross_entropy(outputs, self.target, reduction="none")
        return (self.weight * losses).sum()

    def of(self, rows: Tensor) -> _Problem:
        """Return the problem for some samples."""
        return self._replace(scores=self.scores[rows], target=self.target[rows], weight=self.weight[rows])


def minimise(
    problem: _Problem, alpha: float, start: tuple[Tensor, Tensor] | None = None, tolerance: float = 1e-7
) -> tuple[Tensor, Tensor]:
    """Minimise the loss plus ``alpha / 2`` times the squared weights.

    The unknowns are scaled so that the curvature, of which a logistic loss has at most a quarter of the squared scores,
    is about equal along all axes: tens of steps suffice instead of hundreds.

    Args:
        problem: A problem whose scores have nearly orthogonal columns.
        alpha: Strength of the penalty.
        start: Initial weight and bias.
        tolerance: Largest gradient of the mean loss, by the scaled unknowns, at which to stop.

    Returns:
        Weight ``(R, K)`` and bias ``(K,)``.
    """
    scores, outputs = problem.scores, problem.target.shape[1]
    total = problem.weight.sum()
    # With two classes, the weights of one are the negative of the other's: twice the penalty on half the difference
    # is scikit-learn's penalty on the difference.
    penalty = alpha * (2 if outputs == 2 and not problem.independent else 1)
    curvature = (problem.weight.unsqueeze(1) * scores.square()).sum(dim=0) / 4 + penalty
    unit = (total / curvature).sqrt().unsqueeze(1)
    weight = scores.new_zeros(scores.shape[1], outputs) if start is None else start[0] / unit
    bias = scores.new_zeros(outputs) if start is None else start[1].clone()
    optimizer = torch.optim.LBFGS(
        [weight.requires_grad_(), bias.requires_grad_()],
        max_iter=500,
        tolerance_grad=tolerance,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        inner = unit * weight
        objective = (problem.loss(scores @ inner + bias) + penalty / 2 * inner.square().sum()) / total
        objective.backward()  # type: ignore[no-untyped-call]
        return float(objective.detach())

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return (unit * weight).detach(), bias.detach()


def _choose(problem: _Problem) -> float:
    """Choose the strength by cross-validation."""
    parts = [(problem.of(folds), problem.of(~folds)) for folds in _held_out(problem.target)]
    starts: list[tuple[Tensor, Tensor] | None] = [None] * len(parts)
    losses: list[float] = []
    for alpha in GRID:
        starts = [minimise(kept, alpha, start, tolerance=1e-4) for (_, kept), start in zip(parts, starts, strict=True)]
        found = [
            held.loss(held.scores @ weight + bias)
            for (held, _), (weight, bias) in zip(parts, [s for s in starts if s], strict=True)
        ]
        losses.append(float(sum(found)))
        if any(later > earlier for earlier, later in pairwise(losses)):
            break
    return GRID[losses.index(min(losses))]


def _held_out(target: Tensor) -> list[Tensor]:
    """Return a mask ``(N,)`` of held-out samples per fold: every fifth of each class, in their order."""
    order = target.argmax(dim=1).argsort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return [place % FOLDS == fold for fold in range(FOLDS)]

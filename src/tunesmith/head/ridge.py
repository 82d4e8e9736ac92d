"""Fit a ridge regression to the features of a frozen backbone."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tunesmith.head.fitted import Fitted, Solution, rotated
from tunesmith.target.base import of

GRID = tuple(10 ** (exponent / 4) for exponent in range(-12, 25))
"""Strengths that ``auto`` chooses from, from 0.001 to a million in quarter decades."""


@final
class Ridge(Fitted):
    """Penalised least squares in closed form, on values, or on +1 for the true class or label and -1 for others.

    ``auto`` chooses the strength with the lowest leave-one-out squared error, which one decomposition gives for all
    strengths (Allen 1974; Golub, Heath and Wahba 1979). Equals scikit-learn's ``Ridge`` and ``RidgeCV`` on standardised
    features. It ignores groups: if images within a group are similar, the chosen strength is too weak for new groups;
    set it instead.

    For classes, the outputs are scores: the largest is the class, but their softmax is underconfident. If probabilities
    matter, scale them by a temperature or use ``head=logistic``.

    Takes the arguments of `Fitted`.

    Raises:
        ConfigError: The strength is not positive, the features are unknown, or the classes are ordered.
    """

    targets = ("class", "multilabel", "value")

    def solve(self, x: Tensor, target: Tensor, weight: Tensor, alpha: float | None) -> Solution:
        """Solve in closed form; see `Fitted.solve`."""
        y = of(self.target).regressed(target)
        share, root = (weight / weight.sum()).unsqueeze(1), weight.sqrt().unsqueeze(1)
        bias = (share * y).sum(dim=0)  # x is centred
        y = root * (y - bias)
        scores, axes = rotated(root * x)
        squares, products = scores.square(), scores.T @ y
        values = squares.sum(dim=0)

        def error_left_out(strength: float) -> float:
            shrunk = 1 / (values + strength)
            left_out = y - scores @ (shrunk.unsqueeze(1) * products)
            leverage = (squares @ shrunk).unsqueeze(1) + share
            return float((left_out / (1 - leverage).clamp_min(torch.finfo(y.dtype).eps)).square().sum())

        chosen = min(GRID, key=error_left_out) if alpha is None else alpha
        return Solution(axes @ (products / (values + chosen).unsqueeze(1)), bias, chosen)

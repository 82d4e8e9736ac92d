"""Ridge regression on the features of a frozen backbone."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tunesmith.head.fitted import Fitted, Solution, rotated
from tunesmith.target.base import of

GRID = tuple(10 ** (exponent / 4) for exponent in range(-12, 25))
"""Strengths that ``auto`` chooses from: 0.001 to a million, in quarter decades."""


@final
class Ridge(Fitted):
    """Least squares with a penalty, in closed form, of the values, or of +1 for the class or a label that is, else -1.

    The strength ``auto`` is the one with the least squared error when each sample in turn is left out, which the same
    decomposition gives for every strength (Allen 1974; Golub, Heath and Wahba 1979). All as scikit-learn's ``Ridge``
    and ``RidgeCV`` on standardised features. It knows nothing of groups: where images of a group are much alike, the
    strength comes out weaker than is best for new groups, and is better given.

    For classes, the outputs are scores: the largest is the class, but their softmax is flatter than the truth. Where
    probabilities matter, scale them by a temperature or use ``head=logistic``.

    Its arguments are those of `Fitted`.

    Raises:
        ConfigError: The strength is not positive, the features are unknown, or the classes have an order.
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

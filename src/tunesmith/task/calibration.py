"""Fit on validation, after training, how outputs are scaled and turned into labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Criterion = Literal["accuracy", "f1", "macro_f1", "balanced_accuracy"]

MOST = 20.0
"""Highest temperature, and the inverse of the lowest: outputs that are all correct have no best temperature."""


@dataclass(frozen=True)
class Calibration:
    """How outputs become labels.

    Attributes:
        temperature: Divisor of the outputs.
        threshold: Probability above which a label is predicted: one number per label, or one, for the second of two
            classes. ``None`` is the most probable class, or one half.
    """

    temperature: float = 1.0
    threshold: tuple[float, ...] | None = None


def fit_temperature(outputs: Tensor, nll: Callable[[Tensor], Tensor]) -> float:
    """Find the temperature with the lowest negative log-likelihood (Guo et al., 2017).

    Args:
        outputs: ``(N, K)``, or ``(N, V, K)`` with V views.
        nll: Maps outputs ``(N, V, K)`` to a scalar, differentiably.

    Returns:
        A temperature from 1 / `MOST` to `MOST`.
    """
    outputs = outputs.double().reshape(len(outputs), -1, outputs.shape[-1])
    # Start from the best of a grid: outputs of a new head are close to 0, and from 1 the first steps can lead anywhere.
    grid = torch.linspace(-math.log(MOST), math.log(MOST), 25, dtype=torch.float64)
    log_t = grid[torch.stack([nll(outputs / t) for t in grid.exp()]).argmin()].clone().requires_grad_()
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def scaled() -> Tensor:
        return nll(outputs / log_t.clamp(-math.log(MOST), math.log(MOST)).exp())

    def closure() -> float:
        optimizer.zero_grad()
        loss = scaled()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        return loss.item()

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch's own
    return float(log_t.detach().clamp(-math.log(MOST), math.log(MOST)).exp())


def nll_of_classes(outputs: Tensor, target: Tensor) -> Tensor:
    """Compute the mean negative log-likelihood of classes.

    Args:
        outputs: Logits ``(N, V, K)``; the probabilities of V views are averaged.
        target: ``(N,)``.
    """
    log_p = outputs.log_softmax(dim=-1).logsumexp(dim=1) - math.log(outputs.shape[1])
    return torch.nn.functional.nll_loss(log_p, target)


def nll_of_labels(outputs: Tensor, target: Tensor) -> Tensor:
    """Compute the mean negative log-likelihood of labels.

    Args:
        outputs: Logits ``(N, V, K)``; the probabilities of V views are averaged.
        target: 0 or 1 ``(N, K)``.
    """
    given, not_given = (torch.nn.functional.logsigmoid(o).logsumexp(dim=1) for o in (outputs, -outputs))
    return math.log(outputs.shape[1]) - torch.where(target > 0, given, not_given).mean()


def choose_threshold(scores: Tensor, target: Tensor, criterion: Criterion) -> float:
    """Find the best threshold by a criterion; of several, the one nearest to one half.

    Args:
        scores: Probabilities ``(N,)``, float32.
        target: 0 or 1 ``(N,)``.
        criterion: ``f1`` is of the ones, ``macro_f1`` the mean of the F1 of ones and zeros.

    Returns:
        The midpoint between two scores, or 0.5 if it makes no difference.
    """
    values, order = scores.sort()
    ones = target[order].double()
    # Candidate i has the i lowest scores at or below it.
    below = torch.cat([ones.new_zeros(1), ones.cumsum(0)])
    at_most = torch.arange(len(ones) + 1, dtype=torch.float64)
    tp, fn = ones.sum() - below, below
    tn, fp = at_most - below, (len(ones) - ones.sum()) - (at_most - below)
    merit = _merit(tp, fp, fn, tn, criterion)
    edges = torch.cat([values.new_zeros(1), values, values.new_ones(1)])
    low, high = edges[:-1], edges[1:]
    middle = low + (high - low) / 2
    # Float32 may round to the upper of two neighbours, which would then not exceed it.
    middle = torch.where(middle < high, middle, low)
    possible = torch.cat([torch.ones(1, dtype=torch.bool), values[1:] > values[:-1], torch.ones(1, dtype=torch.bool)])
    merit = torch.where(possible, merit, -math.inf)
    best = (merit >= merit.max() - 1e-12).nonzero().flatten()
    return float(middle[best[(middle[best] - 0.5).abs().argmin()]])


def _merit(tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor, criterion: Criterion) -> Tensor:
    if criterion == "accuracy":
        return tp + tn
    of_ones, of_zeros = (2 * right / (2 * right + fp + fn).clamp_min(1) for right in (tp, tn))
    if criterion == "f1":
        return of_ones
    if criterion == "macro_f1":
        return of_ones + of_zeros
    return tp / (tp + fn).clamp_min(1) + tn / (tn + fp).clamp_min(1)

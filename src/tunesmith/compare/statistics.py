"""Compute mean, spread, a paired test, a bootstrap interval, and the share of variance that a key explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Confidence level of all intervals."""

RESAMPLES = 10_000
"""Number of bootstrap resamples; the ends then vary by about 1 % of the interval's width."""

BINS = 4
"""Number of quantile bins for a numeric key with more distinct values than that, in `importance`."""


@dataclass(frozen=True)
class Paired:
    """A paired comparison of two settings.

    Attributes:
        difference: Mean difference.
        t: Student's t of the differences, with N - 1 degrees of freedom.
        p: Two-sided p-value.
        interval: 95 % interval of the mean difference by Student's t.
        bootstrap: 95 % interval of the mean difference by the percentile bootstrap.
        pairs: Number of pairs, N.
    """

    difference: float
    t: float
    p: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]
    pairs: int


def spread(values: Floats) -> float:
    """Return the sample standard deviation, with divisor N - 1 (Bessel's correction); NaN for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def paired(one: Floats, other: Floats) -> Paired:
    """Compare two settings by Student's paired t-test (1908) and by a bootstrap over the pairs.

    Args:
        one: Values ``(N,)``, N at least 2.
        other: Values of the same replicates ``(N,)``.

    Returns:
        The comparison. If all differences are equal, p is 0; if they are all 0, p is 1.
    """
    from scipy.special import stdtr, stdtrit  # Student's t distribution: half a second to import; scipy.stats takes two

    differences = one - other
    pairs, mean = len(differences), float(np.mean(differences))
    error = spread(differences) / np.sqrt(pairs)
    if error > 0:
        t = mean / error
        p = float(2 * stdtr(pairs - 1, -abs(t)))
    else:
        t, p = (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
    half = float(stdtrit(pairs - 1, (1 + LEVEL) / 2)) * float(error)
    return Paired(mean, float(t), p, (mean - half, mean + half), bootstrap(differences), pairs)


def bootstrap(values: Floats, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean (Efron 1979).

    Args:
        values: ``(N,)``.
        seed: Seed of the resamples, so that the same runs give the same interval.
    """
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def importance(values: Floats, settings: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the share of the variance that each key explains: epsilon squared of its main effect (Kelley 1935).

    Epsilon squared is the sum of squares between the means per value of the key, less what chance would give, over the
    total sum of squares. It corrects eta squared, which rewards keys with many values. Chance is the residual variance
    of an additive model of all keys, so that a key with a small but steady effect is visible beside one with a large
    effect. A numeric key with more than `BINS` distinct values is first cut at its quantiles, since a value that occurs
    once would explain itself.

    Args:
        values: Metric per run ``(N,)``.
        settings: Each key's value per run.

    Returns:
        Share from 0 to 1 per key, largest first, without keys of which no value repeats; empty if there are too few
        runs to tell chance from effect.
    """
    parts = {key: np.unique(_binned(labels), return_inverse=True)[1] for key, labels in settings.items()}
    parts = {key: index for key, index in parts.items() if index.max() + 1 < len(values)}
    noise, total = _noise(values, list(parts.values())), float(((values - values.mean()) ** 2).sum())
    if noise is None or total == 0:
        return {}
    shares = {key: max(0.0, (_between(values, index) - index.max() * noise) / total) for key, index in parts.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _between(values: Floats, index: NDArray[np.intp]) -> float:
    """Return the sum of squares between the means of the parts."""
    counts = np.bincount(index)
    means = np.bincount(index, values) / counts
    return float((counts * (means - values.mean()) ** 2).sum())


def _noise(values: Floats, parts: Sequence[NDArray[np.intp]]) -> float | None:
    """Return the residual variance of an additive model of all keys, fitted by least squares.

    ``None`` if the model has as many parameters as there are runs.
    """
    columns = [np.ones((len(values), 1)), *(np.eye(index.max() + 1)[index] for index in parts)]
    design = np.concatenate(columns, axis=1)
    found, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    free = len(values) - int(rank)
    return float(((values - design @ found) ** 2).sum()) / free if free > 0 else None


def _binned(labels: Sequence[str]) -> NDArray[np.generic]:
    found = numbers(labels)
    if found is None or len(np.unique(found)) <= BINS:
        return np.asarray(labels)
    edges = np.quantile(found, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, found, side="right")


def numbers(labels: Sequence[str]) -> Floats | None:
    """Parse the labels as numbers; ``None`` unless all are finite numbers."""
    try:
        found = np.array([float(label) for label in labels])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None

"""Mean, spread, a paired test, a bootstrap interval, and how much of the variance a key explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Of all intervals."""

RESAMPLES = 10_000
"""Of the bootstrap; its ends then vary by about 1 % of the interval's width."""

BINS = 4
"""Parts, equally filled, that a numeric key with more values than that is cut into for `importance`."""


@dataclass(frozen=True)
class Paired:
    """A paired comparison of two settings.

    Attributes:
        difference: Mean of the differences.
        t: Student's t of the differences.
        p: Two-sided p-value.
        interval: 95 % interval of the mean difference by Student's t.
        bootstrap: The same by the percentile bootstrap.
        pairs: How many.
    """

    difference: float
    t: float
    p: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]
    pairs: int


def spread(values: Floats) -> float:
    """Standard deviation of a sample, with n - 1; NaN for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def paired(one: Floats, other: Floats) -> Paired:
    """Student's paired t-test, and a bootstrap over the pairs.

    Args:
        one: Values ``(N,)``, N at least 2.
        other: Values of the same replicates ``(N,)``.

    Returns:
        The comparison. Where all differences are equal, p is 0, or 1 where they are all 0.
    """
    from scipy.special import stdtr, stdtrit  # half a second to import; scipy.stats takes two

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
    """Percentile bootstrap interval of the mean (Efron, 1979).

    Args:
        values: ``(N,)``.
        seed: Of the resamples, so that the same runs give the same interval.
    """
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def importance(values: Floats, settings: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Share of the variance that each key explains: epsilon squared of its main effect (Kelley, 1935).

    It is the variance between the means by the key's values, less what chance would give, over the whole variance.
    Chance is what an additive model of all keys leaves unexplained, so that a key with a small but steady effect shows
    beside one with a large effect. A numeric key with more than `BINS` values is cut into as many parts of equal
    numbers first, since a value that occurs once would explain itself.

    Args:
        values: Metric of each run ``(N,)``.
        settings: Each key's value in each run.

    Returns:
        0 (nothing) to 1 by key, largest first; without keys of which no value occurs twice, and empty where there are
        too few runs to tell chance from effect.
    """
    parts = {key: np.unique(_binned(labels), return_inverse=True)[1] for key, labels in settings.items()}
    parts = {key: index for key, index in parts.items() if index.max() + 1 < len(values)}
    noise, total = _noise(values, list(parts.values())), float(((values - values.mean()) ** 2).sum())
    if noise is None or total == 0:
        return {}
    shares = {key: max(0.0, (_between(values, index) - index.max() * noise) / total) for key, index in parts.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _between(values: Floats, index: NDArray[np.intp]) -> float:
    """Sum of squares between the means of parts."""
    counts = np.bincount(index)
    means = np.bincount(index, values) / counts
    return float((counts * (means - values.mean()) ** 2).sum())


def _noise(values: Floats, parts: Sequence[NDArray[np.intp]]) -> float | None:
    """Variance that an additive model of all keys leaves; ``None`` where it has as many parameters as runs."""
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
    """The labels as numbers, where all are finite numbers."""
    try:
        found = np.array([float(label) for label in labels])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None

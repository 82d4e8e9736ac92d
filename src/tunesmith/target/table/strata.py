"""Strata that labels and values are put into, for splits that keep them in proportion."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[Any]

BINS = 10
"""Strata that values are cut into at the most."""


def rarest(labels: Floats) -> Ints:
    """The rarest of the labels that each sample has ``(R,)``; K where it has none.

    Args:
        labels: 0 or 1 ``(R, K)``.
    """
    frequency = labels.sum(0)
    order = np.argsort(frequency, kind="stable")
    first = labels[:, order].argmax(1)
    found: Ints = np.where(labels.any(1), order[first], labels.shape[1])
    return found


def tenths(values: Floats) -> Ints:
    """Tenths of values ``(R,)``, or the values themselves where there are ten or fewer."""
    different = np.unique(values)
    edges = different[1:] if len(different) <= BINS else np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    found: Ints = np.digitize(values, edges)
    return found


def merged(found: Ints, most: int) -> Ints:
    """Merge the rarest strata ``(R,)``, until there are no more than ``most`` and each has at least two rows."""
    names, inverse, sizes = np.unique(found, return_inverse=True, return_counts=True)
    by_size = np.argsort(-sizes, kind="stable")
    kept = [s for s in by_size[:most] if sizes[s] >= 2]
    if len(kept) < len(names) and len(kept) == most:
        kept = kept[:-1]
    rest = np.setdiff1d(np.arange(len(names)), kept)
    stratum = np.zeros(len(names), np.int64)
    stratum[kept] = np.arange(len(kept))
    # What is too rare for a stratum of its own shares one; a single row goes with the commonest.
    stratum[rest] = len(kept) if sizes[rest].sum() >= 2 else 0
    return stratum[inverse]

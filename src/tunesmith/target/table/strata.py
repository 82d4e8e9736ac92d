"""Group labels and values into strata, for splits that keep them in proportion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Numbers = npt.NDArray[np.number]
"""`Ints` or `Floats`: class indices ``(N,)``, or labels or values ``(N, K)``."""

BINS = 10
"""Maximum number of strata of values."""


def rarest(labels: Floats) -> Ints:
    """Return the rarest label of each sample ``(R,)``; K if it has none.

    Args:
        labels: 0 or 1 ``(R, K)``.
    """
    frequency = labels.sum(0)
    order = np.argsort(frequency, kind="stable")
    first = labels[:, order].argmax(1)
    found: Ints = np.where(labels.any(1), order[first], labels.shape[1])
    return found


def tenths(values: Floats) -> Ints:
    """Return the tenth that each value falls into ``(R,)``; with ten or fewer values, each is a stratum."""
    different = np.unique(values)
    edges = different[1:] if len(different) <= BINS else np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    found: Ints = np.digitize(values, edges)
    return found


def merged(found: Ints, most: int) -> Ints:
    """Merge the rarest strata ``(R,)`` until at most ``most`` remain, each with at least two rows."""
    names, inverse, sizes = np.unique(found, return_inverse=True, return_counts=True)
    by_size = np.argsort(-sizes, kind="stable")
    kept = [s for s in by_size[:most] if sizes[s] >= 2]
    if len(kept) < len(names) and len(kept) == most:
        kept = kept[:-1]
    rest = np.setdiff1d(np.arange(len(names)), kept)
    stratum = np.zeros(len(names), np.int64)
    stratum[kept] = np.arange(len(kept))
    # Strata that are too rare share one; a single row joins the most frequent.
    stratum[rest] = len(kept) if sizes[rest].sum() >= 2 else 0
    return stratum[inverse]

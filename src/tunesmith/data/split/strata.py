"""Define what stratified splitting keeps in proportion: classes, or strata made of labels and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.table import Ints, Table

BINS = 10
"""Maximum number of strata that values are cut into."""


def strata(table: Table, rows: Ints, smallest: int) -> Ints:
    """Assign each row to a stratum, to be spread evenly over the parts.

    Classes, ordered or not, are strata themselves. Multi-label: an image's rarest label, or none, so that every part
    gets some of the rare labels; exact proportions of all labels at once are impossible in general (iterative
    stratification, Sechidis et al. 2011, also starts from the rarest label). The same holds for tags. Values: deciles
    of the first value, or the values themselves if there are ten or fewer. Everything else is one stratum.

    Args:
        table: Table with the targets.
        rows: Rows to split ``(R,)``.
        smallest: Rows in the smallest part. There are no more strata than that, and each has at least two rows, so the
            rarest labels or values may share one.

    Returns:
        Stratum of each row ``(R,)``; classes are not merged.
    """
    if table.classes:
        classes: Ints = table.targets[rows].astype(np.int64)
        return classes
    labels = table.occurrences(rows)
    if labels is None and table.ragged:
        return np.zeros(len(rows), np.int64)
    found = _tenths(table.targets[rows][:, 0]) if labels is None else _rarest(labels)
    return _merged(found, max(1, smallest))


def composition(table: Table, rows: Ints) -> npt.NDArray[np.float64]:
    """Return what whole groups keep in proportion: each row's class, labels or stratum, as indicators ``(R, S)``."""
    labels = table.occurrences(rows)
    if labels is not None:
        return np.column_stack([labels, np.ones(len(rows))]).astype(np.float64)
    if table.classes:
        found: npt.NDArray[np.float64] = np.eye(len(table.class_names))[table.targets[rows].astype(np.int64)]
        return found
    parts = strata(table, rows, BINS)
    return np.eye(int(parts.max()) + 1)[parts]


def _rarest(labels: npt.NDArray[Any]) -> Ints:
    frequency = labels.sum(0)
    order = np.argsort(frequency, kind="stable")
    first = labels[:, order].argmax(1)
    rarest: Ints = np.where(labels.any(1), order[first], labels.shape[1])
    return rarest


def _tenths(values: npt.NDArray[Any]) -> Ints:
    different = np.unique(values)
    edges = different[1:] if len(different) <= BINS else np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    found: Ints = np.digitize(values, edges)
    return found


def _merged(found: Ints, most: int) -> Ints:
    names, inverse, sizes = np.unique(found, return_inverse=True, return_counts=True)
    by_size = np.argsort(-sizes, kind="stable")
    kept = [s for s in by_size[:most] if sizes[s] >= 2]
    if len(kept) < len(names) and len(kept) == most:
        kept = kept[:-1]
    rest = np.setdiff1d(np.arange(len(names)), kept)
    stratum = np.zeros(len(names), np.int64)
    stratum[kept] = np.arange(len(kept))
    # Strata too rare to stand alone share one; a single row joins the most common one.
    stratum[rest] = len(kept) if sizes[rest].sum() >= 2 else 0
    return stratum[inverse]

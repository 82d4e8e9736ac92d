"""Check targets, and count what occurs in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.errors import DataError
from tunesmith.target.table.strata import Floats, Ints


def check_indices(targets: Ints, names: tuple[str, ...]) -> None:
    """Refuse class indices ``(N,)`` out of range, and a single class.

    Raises:
        DataError: An index is out of range, or there is one class.
    """
    if targets.min() < 0 or targets.max() >= len(names):
        raise DataError(
            f"Expected class indices from 0 to {len(names) - 1} but got {targets.min()} to {targets.max()}."
        )
    if len(names) < 2:
        raise DataError(f"Expected at least two classes but got {', '.join(names)}.")


def check_columns(targets: Floats, names: tuple[str, ...]) -> None:
    """Refuse targets that are not one column per name ``(N, K)``.

    Raises:
        DataError: They are not.
    """
    if targets.ndim != 2 or targets.shape[1] != len(names):
        raise DataError(f"Expected one column for each of {', '.join(names)} but got targets of {targets.shape}.")


def check_finite(targets: Floats) -> None:
    """Refuse NaN and infinite values.

    Raises:
        DataError: Some are not.
    """
    if not np.isfinite(targets).all():
        raise DataError("Expected every value to be a finite number but some are not.")


def check_all_present(absent: Sequence[str], what: str) -> None:
    """Refuse a training split without some of the classes.

    Raises:
        DataError: Some are absent.
    """
    if absent:
        raise DataError(
            f"Expected {what} of every class in train but got none of {', '.join(absent)}; "
            "add some, leave the class out, or change data.split."
        )


def counts_of(indices: Ints | Sequence[int], names: tuple[str, ...]) -> Ints:
    """Count how often each index occurs ``(K,)``."""
    return np.bincount(indices, minlength=len(names))


def indicators(indices: Sequence[Sequence[int]], names: tuple[str, ...]) -> Floats:
    """Return which indices occur in each row, 0 or 1 ``(R, K)``, float32."""
    found = np.zeros((len(indices), len(names)), np.float32)
    for row, own in enumerate(indices):
        found[row, list(own)] = 1
    return found

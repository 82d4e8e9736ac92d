"""Make targets from the cells of a user's table: guess their kind, and order their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tunesmith.errors import DataError, nearest
from tunesmith.target.table.strata import Floats, Ints

BOOLEANS = {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}
"""Other ways to write 1 and 0."""

Targets: TypeAlias = Ints | Floats | Sequence[object]
"""Targets of N samples: class indices ``(N,)`` int64, columns ``(N, K)`` float32, or N plain values or arrays."""


@dataclass(frozen=True)
class Found:
    """Targets as `tunesmith.data.table.Table` has them.

    Attributes:
        kind: Kind of target.
        targets: See `Targets`.
        names: Names of the classes, labels or values.
        columns: Names of the columns that they were made from.
    """

    kind: str
    targets: Targets
    names: tuple[str, ...]
    columns: tuple[str, ...] = ()


class Cells(Protocol):
    """The columns of a table, as text; see `tunesmith.data.tabular.columns.Columns`."""

    @property
    def file(self) -> Path:
        """Path of the table, for messages."""
        ...

    def __len__(self) -> int:
        """Return the number of rows N."""
        ...

    def text(self, name: str) -> npt.NDArray[np.str_]:
        """Return the cells of a column ``(N,)``."""
        ...

    def numbers(self, name: str, at_least: float = -math.inf) -> npt.NDArray[np.float64]:
        """Return the cells of a column as numbers ``(N,)``."""
        ...

    def between(self, names: Sequence[str]) -> str | None:
        """Return the separator of labels in a column that held lists; ``None`` without such a column."""
        ...

    def check(self, bad: npt.NDArray[np.bool_], name: str, expected: str) -> None:
        """Raise a `DataError` that names the first row in which a cell is bad ``(N,)``."""
        ...


def guess(columns: Cells, labels: Sequence[str], separator: str | None) -> str:
    """Guess the kind of target from the cells: ``class``, ``multilabel`` or ``value``.

    Args:
        columns: The table.
        labels: Names of the columns to learn.
        separator: Separator of several labels in one column.
    """
    if separator is not None or columns.between(labels) is not None:
        return "multilabel"
    cells = np.concatenate([columns.text(name) for name in labels])
    if len(labels) > 1:
        return "multilabel" if {BOOLEANS.get(c.lower(), c) for c in cells.tolist()} <= {"0", "1"} else "value"
    # A number without a decimal point is more often the name of a class than a measurement.
    numeric = all(math.isfinite(number(cell)) for cell in cells.tolist())
    return "value" if numeric and any("." in cell for cell in cells.tolist()) else "class"


def classes_of(columns: Cells, labels: Sequence[str], kind: str, classes: Sequence[str] | None, ranked: bool) -> Found:
    """Make class indices from one column.

    Args:
        columns: The table.
        labels: Name of the column.
        kind: Kind of target.
        classes: Classes in order; ``None`` for those that occur.
        ranked: Whether the order matters; then words need ``classes``.

    Raises:
        DataError: There are several columns, a cell is empty or not a class, or ranked words have no ``classes``.
    """
    if len(labels) != 1:
        raise DataError(f"Expected one column of labels for target={kind} but got {', '.join(labels)}.")
    (name,) = labels
    cells = columns.text(name)
    columns.check(cells == "", name, "a class")
    present = np.unique(cells).tolist()
    if ranked and classes is None and not all(_is_whole(cell) for cell in present):
        raise DataError(
            f"Expected data.classes to give the order of {', '.join(present[:5])}, … in column '{name}' but got "
            "none: words have no order of their own."
        )
    order = ordered(columns.file, name, present, classes, cells.tolist())
    index = {label: i for i, label in enumerate(order)}
    indices = np.array([index[cell] for cell in cells.tolist()], dtype=np.int64)
    return Found(kind, indices, tuple(order), tuple(labels))


def ordered(
    file: Path, name: str, present: list[str], classes: Sequence[str] | None, cells: Sequence[str | set[str]]
) -> list[str]:
    """Order the labels of a column: as given, where each must occur, or else sorted.

    Args:
        file: Path of the table.
        name: Name of the column.
        present: Labels that occur.
        classes: Labels in order; ``None`` to sort them.
        cells: Label, or labels, of each row.

    Raises:
        DataError: There are no labels, or they differ from the given ones.
    """
    if not present:
        raise DataError(f"Expected labels in column '{name}' of {file} but every cell is empty.")
    if classes is None:
        return sorted(present, key=int) if all(_is_whole(label) for label in present) else sorted(present)
    if unknown := [label for label in present if label not in classes]:
        row = next(i for i, cell in enumerate(cells, 1) if unknown[0] in ({cell} if isinstance(cell, str) else cell))
        raise DataError(
            f"Expected column '{name}' of {file} to hold only data.classes but row {row} has '{unknown[0]}'."
            f"{nearest(unknown[0], classes)}"
        )
    if empty := [label for label in classes if label not in present]:
        raise DataError(
            f"Expected samples of every class in data.classes but got none of {', '.join(empty)}; "
            "add some, or leave the class out."
        )
    return list(classes)


def number(cell: str) -> float:
    """Parse a cell as a number; NaN if it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _is_whole(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal() and str(int(cell)) == cell

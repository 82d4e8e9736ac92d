"""Cells of a user's table, as far as targets are made of them: which kind they are, and in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tunesmith.errors import DataError, nearest

BOOLEANS = {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}
"""Other ways to write 1 and 0."""


@dataclass(frozen=True)
class Found:
    """Targets as `tunesmith.data.table.Table` has them.

    Attributes:
        kind: Kind of target.
        targets: ``(N,)`` int64, ``(N, K)`` float32, or N plain values.
        names: Of the classes, labels or values.
        columns: That they were made of.
    """

    kind: str
    targets: Any
    names: tuple[str, ...]
    columns: tuple[str, ...] = ()


class Cells(Protocol):
    """The columns of a table, as text; see `tunesmith.data.tabular.columns.Columns`."""

    @property
    def file(self) -> Path:
        """Where it was read from, for messages."""
        ...

    def __len__(self) -> int:
        """Number of rows N."""
        ...

    def text(self, name: str) -> npt.NDArray[np.str_]:
        """Cells of a column ``(N,)``."""
        ...

    def numbers(self, name: str, at_least: float = -math.inf) -> npt.NDArray[np.float64]:
        """Cells of a column as numbers ``(N,)``."""
        ...

    def between(self, names: Sequence[str]) -> str | None:
        """What stands between the labels in a column that was lists; ``None`` where there is no such column."""
        ...

    def check(self, bad: npt.NDArray[np.bool_], name: str, expected: str) -> None:
        """Raise a `DataError` that names the first row in which a cell is bad ``(N,)``."""
        ...


def guess(columns: Cells, labels: Sequence[str], separator: str | None) -> str:
    """The kind of target that cells look like: ``class``, ``multilabel`` or ``value``.

    Args:
        columns: The table.
        labels: The columns of what is to be learnt.
        separator: Between the labels in one column.
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
    """Class indices of one column.

    Args:
        columns: The table.
        labels: The column.
        kind: Kind of target.
        classes: In their order; ``None`` for those that occur.
        ranked: Whether the order says something, and words have none.

    Raises:
        DataError: There are several columns, a cell is empty or no class, or words are to have an order of their own.
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
    """The labels of a column in their order: as given, and then each must occur, else sorted.

    Args:
        file: Where the column was read from.
        name: Of the column.
        present: The labels that occur.
        classes: The order; ``None`` for none.
        cells: The label, or labels, of each row.

    Raises:
        DataError: There are no labels, or others than given.
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
    """A cell as a number; NaN where it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _is_whole(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal() and str(int(cell)) == cell

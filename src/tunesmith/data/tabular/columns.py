"""Convert the text cells of a user's table to targets; errors name the row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunesmith.data.table import Floats, Kind, Strings, Text
from tunesmith.data.tabular.reading import BETWEEN, MAX_CHARACTERS, Joined, read
from tunesmith.errors import DataError, nearest

Target = Literal["auto", "class", "multilabel", "value", "ordinal", "tokens"]

_BOOLEANS = {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}
"""Other spellings of 1 and 0."""


@dataclass(frozen=True)
class Found:
    """Targets in the form of `table.Table`.

    Attributes:
        kind: Kind of target.
        targets: ``(N,)`` int64 or ``(N, K)`` float32; if ragged, as in `table.Table`.
        names: Names of the classes, labels or values.
    """

    kind: Kind
    targets: Any
    names: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The columns of a table in a file, as stripped text; an empty cell is an empty string.

    Attributes:
        file: The file, for messages.
        cells: Cells ``(N,)`` by column.
    """

    file: Path
    cells: dict[str, list[str]]

    @classmethod
    def read(cls, file: Path, key: str = "data.file") -> Columns:
        """Read a file; see `reading.read`."""
        return cls(file, read(file, key))

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.cells)

    def text(self, name: str) -> Strings:
        """Return the cells of a column ``(N,)``, padded to the longest; use `texts` for long ones.

        Raises:
            DataError: There is no such column.
        """
        return np.array(self.texts(name))

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column.

        Raises:
            DataError: There is no such column.
        """
        if name not in self.cells:
            raise DataError(f"Expected a column '{name}' in {self.file} but there is none.{nearest(name, self.cells)}")
        return self.cells[name]

    def check(self, bad: npt.NDArray[np.bool_], name: str, expected: str) -> None:
        """Raise a `DataError` that names the first row, from 1, with a bad cell, if any cell is bad ``(N,)``."""
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            got = f"'{self.cells[name][row]}'" if self.cells[name][row] else "an empty cell"
            raise DataError(f"Expected {expected} in column '{name}' of {self.file} but row {row + 1} has {got}.")

    def numbers(self, name: str, at_least: float = -math.inf) -> npt.NDArray[np.float64]:
        """Return the cells of a column as numbers ``(N,)``.

        Raises:
            DataError: A cell is not a finite number, or is less than ``at_least``.
        """
        found = np.array([_number(cell) for cell in self.text(name).tolist()])
        bound = "" if at_least == -math.inf else f" of at least {at_least:g}"
        self.check(~(np.isfinite(found) & (found >= at_least)), name, f"a number{bound}")
        return found

    def target(
        self, labels: Sequence[str], target: Target, separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Convert one or more columns to targets.

        Args:
            labels: The columns.
            target: Kind of target.
            separator: Separator between labels in one column; lists need none.
            classes: The classes, or the labels in one column, in order.

        Raises:
            DataError: A cell does not fit the kind of target, or a class has no sample.
        """
        if separator is None and target in ("auto", "multilabel") and len(labels) == 1:
            separator = BETWEEN if any(isinstance(cell, Joined) for cell in self.texts(labels[0])) else None
        kind = self._kind(labels, separator) if target == "auto" else target
        if kind in ("class", "ordinal") and len(labels) != 1:
            raise DataError(f"Expected one column of labels for target={kind} but got {', '.join(labels)}.")
        if kind == "multilabel":
            if separator is not None:
                return self._separated(labels, separator, classes)
            return Found(kind, self._zeros_and_ones(labels), tuple(labels))
        if kind == "value":
            values = np.stack([self.numbers(name) for name in labels], axis=1)
            return Found(kind, values.astype(np.float32), tuple(labels))
        return self._classes(labels[0], kind, classes)

    def _kind(self, labels: Sequence[str], separator: str | None) -> Kind:
        if separator is not None:
            return "multilabel"
        cells = np.concatenate([self.text(name) for name in labels])
        if len(labels) > 1:
            return "multilabel" if {_BOOLEANS.get(c.lower(), c) for c in cells.tolist()} <= {"0", "1"} else "value"
        # A number without a decimal point is more often a class name than a measurement.
        numeric = all(math.isfinite(_number(cell)) for cell in cells.tolist())
        return "value" if numeric and any("." in cell for cell in cells.tolist()) else "class"

    def _classes(self, name: str, kind: Kind, classes: Sequence[str] | None) -> Found:
        cells = self.text(name)
        self.check(cells == "", name, "a class")
        present = np.unique(cells).tolist()
        if kind == "ordinal" and classes is None and not all(_is_whole(cell) for cell in present):
            raise DataError(
                f"Expected data.classes to give the order of {', '.join(present[:5])}, … in column '{name}' but got "
                "none: words have no order of their own."
            )
        order = self._order(name, present, classes, cells.tolist())
        index = {label: i for i, label in enumerate(order)}
        return Found(kind, np.array([index[cell] for cell in cells.tolist()], dtype=np.int64), tuple(order))

    def _separated(self, labels: Sequence[str], separator: str, classes: Sequence[str] | None) -> Found:
        if len(labels) != 1:
            raise DataError(f"Expected one column of labels with data.separator but got {', '.join(labels)}.")
        own = [{part.strip() for part in cell.split(separator)} - {""} for cell in self.text(labels[0]).tolist()]
        order = self._order(labels[0], sorted(set().union(*own)), classes, own)
        targets = np.array([[label in row for label in order] for row in own], dtype=np.float32)
        return Found("multilabel", targets.reshape(len(own), len(order)), tuple(order))

    def _zeros_and_ones(self, labels: Sequence[str]) -> Floats:
        columns = []
        for name in labels:
            cells = np.array([_BOOLEANS.get(cell.lower(), cell) for cell in self.text(name).tolist()])
            self.check(~np.isin(cells, ("0", "1")), name, "0 or 1")
            columns.append(cells.astype(np.float32))
        return np.stack(columns, axis=1)

    def _order(
        self, name: str, present: list[str], classes: Sequence[str] | None, cells: Sequence[str | set[str]]
    ) -> list[str]:
        """Return the labels in order: as given, and then each must occur, or else sorted."""
        if not present:
            raise DataError(f"Expected labels in column '{name}' of {self.file} but every cell is empty.")
        if classes is None:
            return sorted(present, key=int) if all(_is_whole(label) for label in present) else sorted(present)
        if unknown := [label for label in present if label not in classes]:
            row = next(
                i for i, cell in enumerate(cells, 1) if unknown[0] in ({cell} if isinstance(cell, str) else cell)
            )
            raise DataError(
                f"Expected column '{name}' of {self.file} to hold only data.classes but row {row} has '{unknown[0]}'."
                f"{nearest(unknown[0], classes)}"
            )
        if empty := [label for label in classes if label not in present]:
            raise DataError(
                f"Expected samples of every class in data.classes but got none of {', '.join(empty)}; "
                "add some, or leave the class out."
            )
        return list(classes)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _is_whole(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal() and str(int(cell)) == cell


def texts_of(columns: Columns, names: Sequence[str]) -> list[Text]:
    """Return the texts, or tuples of texts, in columns.

    Raises:
        DataError: A column is missing, or a text is empty or too long.
    """
    for name in names:
        cells = columns.texts(name)
        columns.check(np.array([not cell for cell in cells]), name, "a text")
        longest = max(range(len(cells)), key=lambda row: len(cells[row]))
        if len(cells[longest]) > MAX_CHARACTERS:
            raise DataError(
                f"Expected texts of at most {MAX_CHARACTERS:,} characters in column '{name}' of {columns.file} but row "
                f"{longest + 1} has {len(cells[longest]):,}; cut it into several."
            )
    return list(zip(*(columns.texts(name) for name in names), strict=True))

"""Convert the text cells of a user's table to targets; errors name the row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tunesmith.data.column import Column, Texts
from tunesmith.data.table import Ints, Strings
from tunesmith.data.tabular import arrow
from tunesmith.data.tabular.reading import BETWEEN, MAX_CHARACTERS, Joined, read
from tunesmith.errors import DataError, nearest
from tunesmith.target.base import of
from tunesmith.target.table.cells import Found, guess, number


@dataclass(frozen=True)
class Columns:
    """The columns of a table in a file, as stripped text; an empty cell is an empty string.

    Attributes:
        file: The file, for messages.
        cells: Cells ``(N,)`` by column.
    """

    file: Path
    cells: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, file: Path, key: str = "data.file", place: Path | None = None) -> Columns:
        """Read a file; see `reading.read`.

        Args:
            file: The table.
            key: Name of the setting, for messages.
            place: Arrow file to write the cells to, which is then mapped into memory; ``None`` to hold them.

        Raises:
            DataError: The file does not exist, is of another kind, or cannot be read.
            OSError: The Arrow file cannot be written.
        """
        try:
            if place is None:
                return cls(file, arrow.held(read(file, key)))
            arrow.write(read(file, key), place)
            return cls(file, arrow.mapped(place))
        except UnicodeEncodeError as error:
            raise DataError(f"Expected valid text in {file} but got: {error}.") from error

    def __len__(self) -> int:
        """Return the number of rows N."""
        return len(next(iter(self.cells.values()), ()))

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.cells)

    def text(self, name: str) -> Strings:
        """Return the cells of a column ``(N,)``, padded to the longest; use `texts` for long ones.

        Raises:
            DataError: There is no such column.
        """
        cells = self.texts(name)
        return cells.array() if isinstance(cells, Column) else np.array(cells)

    def texts(self, name: str) -> Sequence[str]:
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
        found = np.array([number(cell) for cell in self.text(name).tolist()])
        bound = "" if at_least == -math.inf else f" of at least {at_least:g}"
        self.check(~(np.isfinite(found) & (found >= at_least)), name, f"a number{bound}")
        return found

    def between(self, names: Sequence[str]) -> str | None:
        """Return the separator of labels in a column that held lists; ``None`` without such a column."""
        if len(names) != 1:
            return None
        cells = self.texts(names[0])
        joined = cells.joined if isinstance(cells, Column) else any(isinstance(cell, Joined) for cell in cells)
        return BETWEEN if joined else None

    def target(self, labels: Sequence[str], target: str, separator: str | None, classes: Sequence[str] | None) -> Found:
        """Make targets of one or more columns.

        Args:
            labels: The columns.
            target: Kind of target; ``auto`` decides by the cells.
            separator: Separator of several labels in one column; lists need none.
            classes: The classes, or the labels in one column, in order.

        Raises:
            DataError: A cell does not fit the kind of target, or a class has no sample.
        """
        kind = guess(self, labels, separator) if target == "auto" else target
        return of(kind).learnt(self, labels, separator, classes)


def texts_of(columns: Columns, names: Sequence[str], prefix: str = "") -> Texts:
    """Return the texts, or tuples of texts, in columns.

    Args:
        columns: The table.
        names: Names of the columns.
        prefix: Prefix of each first text.

    Raises:
        DataError: A column is missing, or a text is empty or too long.
    """
    for name in names:
        cells = columns.texts(name)
        sizes = _sizes(cells)
        columns.check(sizes == 0, name, "a text")
        longest = int(sizes.argmax())
        if sizes[longest] > MAX_CHARACTERS:
            raise DataError(
                f"Expected texts of at most {MAX_CHARACTERS:,} characters in column '{name}' of {columns.file} but row "
                f"{longest + 1} has {sizes[longest]:,}; cut it into several."
            )
    return Texts([columns.texts(name) for name in names], prefix)


def _sizes(cells: Sequence[str]) -> Ints:
    return cells.lengths() if isinstance(cells, Column) else np.array([len(cell) for cell in cells], dtype=np.int64)

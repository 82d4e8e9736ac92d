"""Define sequences that make their items on access: cells of Arrow columns, texts from cells, names of rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from typing import Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

S = TypeVar("S")
T = TypeVar("T")
Ints = npt.NDArray[np.int64]

AT_ONCE = 8192
"""Number of items that an iteration makes at once."""


class Lazy(Sequence[T]):
    """A sequence that makes its items on access, and keeps none of them."""

    @abstractmethod
    def span(self, start: int, stop: int) -> list[T]:
        """Make the items from one position up to another, both within the sequence."""

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> list[T]: ...

    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return self.span(start, max(start, stop)) if step == 1 else [self[i] for i in range(start, stop, step)]
        place = at + len(self) if at < 0 else at
        if not 0 <= place < len(self):
            raise IndexError(f"Expected a position below {len(self)} but got {at}.")
        return self.span(place, place + 1)[0]

    def __iter__(self) -> Iterator[T]:
        starts = range(0, len(self), AT_ONCE)
        return chain.from_iterable(self.span(i, min(i + AT_ONCE, len(self))) for i in starts)


class Column(Lazy[str]):
    """Cells of an Arrow column; a missing cell is an empty string.

    Args:
        cells: The cells, of type ``large_string``.
        joined: Whether some cell was a list; see `tabular.reading.Joined`.
    """

    def __init__(self, cells: pa.ChunkedArray, joined: bool = False) -> None:
        self.cells = cells
        self.joined = joined

    def __len__(self) -> int:
        return len(self.cells)

    def span(self, start: int, stop: int) -> list[str]:
        """See `Lazy.span`."""
        return [cell or "" for cell in self.cells.slice(start, stop - start).to_pylist()]

    def array(self) -> npt.NDArray[np.str_]:
        """Return the cells ``(N,)``, padded to the longest; each distinct string is made once."""
        coded = self.cells.combine_chunks().fill_null("").dictionary_encode()
        found: npt.NDArray[np.str_] = np.array(coded.dictionary.to_pylist(), dtype=str)[coded.indices.to_numpy()]
        return found

    def lengths(self) -> Ints:
        """Return the number of characters of each cell ``(N,)``."""
        found: Ints = pc.fill_null(pc.utf8_length(self.cells), 0).to_numpy()
        return found


class Mapped(Lazy[T], Generic[S, T]):
    """The results of a function for each item of a sequence.

    Args:
        items: The sequence.
        convert: The function.
    """

    def __init__(self, items: Sequence[S], convert: Callable[[S], T]) -> None:
        self.items = items
        self.convert = convert

    def __len__(self) -> int:
        return len(self.items)

    def span(self, start: int, stop: int) -> list[T]:
        """See `Lazy.span`."""
        return [self.convert(item) for item in self.items[start:stop]]


class Texts(Lazy[tuple[str, ...]]):
    """Texts, or tuples of texts, in columns.

    Args:
        columns: At least one, of equal lengths.
        prefix: Put in front of each first text.
        digest: The digest, if it is known.
    """

    def __init__(self, columns: Sequence[Sequence[str]], prefix: str = "", digest: str | None = None) -> None:
        self.columns = columns
        self.prefix = prefix
        if digest is not None:
            self.digest = digest

    def __len__(self) -> int:
        return len(self.columns[0])

    def span(self, start: int, stop: int) -> list[tuple[str, ...]]:
        """See `Lazy.span`."""
        first, *others = (column[start:stop] for column in self.columns)
        return list(zip([self.prefix + text for text in first] if self.prefix else first, *others, strict=True))

    @cached_property
    def digest(self) -> str:
        """Digest of all texts."""
        return digest_texts(self)


def digest_texts(texts: Iterable[object]) -> str:
    """Digest texts, or tuples of texts, in their order."""
    total = blake2b(digest_size=16)
    for text in texts:
        total.update(repr(text).encode())
    return total.hexdigest()


class RowNames(Lazy[str]):
    """Names ``row 1`` to ``row N``, made on access; indexed like an array of strings.

    Args:
        total: Number of rows N.
    """

    def __init__(self, total: int) -> None:
        self.total = total

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, at: int | np.integer) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    @overload
    def __getitem__(self, at: Ints) -> npt.NDArray[np.str_]: ...

    def __getitem__(self, at: int | np.integer | slice | Ints) -> str | list[str] | npt.NDArray[np.str_]:
        if isinstance(at, slice):
            return super().__getitem__(at)
        if isinstance(at, int | np.integer):
            return super().__getitem__(int(at))
        return np.array([f"row {row + 1}" for row in np.arange(self.total)[at].tolist()], dtype=str)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.str_]:
        return np.array(self.tolist(), dtype=dtype)

    def span(self, start: int, stop: int) -> list[str]:
        """See `Lazy.span`."""
        return [f"row {row}" for row in range(start + 1, stop + 1)]

    def tolist(self) -> list[str]:
        """Return all names."""
        return self.span(0, self.total)


def ascending(names: npt.NDArray[np.str_] | RowNames, rows: Ints | None = None) -> Ints:
    """Return the rows, all by default, in ascending order of their names ``(R,)``."""
    rows = np.arange(len(names)) if rows is None else rows
    if not isinstance(names, RowNames):
        return rows[np.argsort(names[rows], kind="stable")]
    # Alphabetical order of numbers: padded with zeros behind to equal length, they ascend; of equal ones the shorter.
    numbers = rows + 1
    digits = np.searchsorted(10 ** np.arange(1, 19), numbers, side="right")
    padded = numbers * 10 ** (digits.max(initial=0) - digits)
    return rows[np.lexsort((digits, padded))]

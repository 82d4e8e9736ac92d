"""Keep a large table between runs: its cells as Arrow columns, and what is derived from them as arrays."""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tunesmith.atomic import atomic, write_text
from tunesmith.contract.plain import PlainData
from tunesmith.data.column import Mapped, RowNames, Texts
from tunesmith.data.fingerprint import Contents, Digests, Parts
from tunesmith.data.split.split import Split
from tunesmith.data.table import SPLITS, Table
from tunesmith.data.tabular import arrow
from tunesmith.data.tabular.columns import Columns
from tunesmith.data.tabular.reading import SUFFIXES

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the files; raise it when their content or form changes."""

LARGE = 16 * 2**20
"""Minimum bytes of a table to be kept; smaller ones are read in less than two seconds."""

ROOM = 4
"""Estimated maximum bytes on disk per byte of the file."""

ARRAYS = ("targets", "groups", "folders", "weights")
"""Columns of a `Table` that are arrays if they exist."""

_BLOCK = 2**20


class Place(NamedTuple):
    """A place to keep a table.

    Attributes:
        folder: Its own folder.
        writable: Whether files may be added.
    """

    folder: Path
    writable: bool


class Places(Protocol):
    """Manages the places of tables."""

    def place(self, about: Mapping[str, object], size: int) -> Place | None:
        """Find or make a place for a table; ``None`` if there is no room for its bytes."""
        ...

    def placed(self, about: Mapping[str, object], rows: int) -> None:
        """Record that a table is in its place, and used."""
        ...


def about(file: Path) -> dict[str, object]:
    """Return what the cells of a file depend on, as plain values."""
    with file.open("rb") as content:
        digest = _digest(content)
    versions = {name: version(name) for name in ("pandas", "pyarrow")}
    return {"format": FORMAT, "kept": "table", "data": "texts", "file": digest, "kind": file.suffix} | versions


class Shelf:
    """The kept files of a table: cells of the whole file, and arrays by the settings with which it is read.

    A file is valid only with a second file of its digest, written after it, so a killed writer leaves nothing valid.

    Args:
        file: The table.
        place: Place of its files.
        own: What the samples, their names and targets depend on besides the file, ``names`` and ``prefix``.
        names: Columns of the texts.
        prefix: Prefix of each first text.
        noted: Called with the number of rows, once all files exist.
    """

    def __init__(
        self, file: Path, place: Place, own: object, names: Sequence[str], prefix: str, noted: Callable[[int], None]
    ) -> None:
        self.file = file
        self.place = place
        self.names, self.prefix = list(names), prefix
        self.noted = noted
        self.name = _hash([own, self.names, prefix])

    @classmethod
    def open(cls, file: Path, keep: Places | None, own: object, names: Sequence[str], prefix: str = "") -> Shelf | None:
        """Find a place for a table; ``None`` for a small table, or without a cache."""
        if keep is None or file.suffix not in SUFFIXES or not file.is_file() or file.stat().st_size < LARGE:
            return None
        described = about(file)
        place = keep.place(described, ROOM * file.stat().st_size)
        return place and cls(file, place, own, names, prefix, partial(keep.placed, described))

    def contents(self, make: Callable[[], Contents]) -> Contents:
        """Load the kept table, or make and keep it."""
        found = self._find()
        if found is None:
            found = make()
            self._keep(found)
        self.noted(len(found.table))
        return replace(found, rows=partial(self._rows, len(found.table)))

    def columns(self) -> Columns:
        """Map the cells into memory; read the table and write them first if need be."""
        path = self.place.folder / "cells.arrow"
        if _is_whole(path):
            try:
                return Columns(self.file, arrow.mapped(path))
            except arrow.BrokenColumnsError as error:
                log.warning(f"Expected whole columns in the cache but got {error}; the table is read again.")
        if self.place.writable:
            try:
                columns = Columns.read(self.file, place=path)
                _seal(path)
                return columns
            except OSError as error:
                _say(error)
        return Columns.read(self.file)

    def _find(self) -> Contents | None:
        try:
            kept: PlainData = json.loads(self._path("json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        found = {name: self._map(name) for name in kept["arrays"]}
        arrays = {name: array for name, array in found.items() if array is not None}
        cells = self.place.folder / "cells.arrow"
        if len(arrays) < len(found) or not _is_whole(cells):
            return None
        columns = arrow.mapped(cells)
        texts = Texts([columns[name] for name in self.names], self.prefix, kept["texts"])
        fields = kept["table"] | {name: arrays.get(name) for name in ARRAYS}
        fields["class_names"] = tuple(fields["class_names"])
        if fields["targets"] is None:
            fields["targets"] = Mapped(texts, itemgetter(1)) if kept["second"] else [0] * len(texts)
        table = Table(samples=texts, names=RowNames(len(texts)), **fields)
        digests, twins = np.asarray(arrays["digests"], np.uint8), np.asarray(arrays["twins"], np.int64)
        return Contents(table, Digests(digests), kept["whole"], twins, kept["fingerprint"])

    def _keep(self, contents: Contents) -> None:
        table = contents.table
        if not self.place.writable or not isinstance(table.samples, Texts) or not isinstance(table.names, RowNames):
            return
        found = {name: getattr(table, name) for name in ARRAYS}
        arrays = {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
        arrays |= {"digests": contents.digests.array, "twins": contents.twins}
        fields = ("class_names", "channels", "group_unit", "kind", "guessed", "modality")
        kept = {
            "arrays": list(arrays),
            "table": {name: getattr(table, name) for name in fields},
            "texts": table.samples.digest,
            "second": isinstance(table.targets, Mapped),
            "whole": contents.whole,
            "fingerprint": contents.fingerprint,
        }
        try:
            for name, array in arrays.items():
                self._write(name, array)
            write_text(self._path("json"), json.dumps(kept) + "\n")
        except OSError as error:
            _say(error)

    def _rows(self, count: int, split: object, draw: Callable[[], Parts]) -> Parts:
        """Load the rows of each split of a table with ``count`` rows, or draw and write them."""
        if type(split) is not Split:  # another class may draw in another way
            return draw()
        name = f"split-{_hash([split, *(version(library) for library in ('numpy', 'scikit-learn'))])}"
        number = self._map(name)
        if number is None:
            parts = draw()
            number = np.zeros(count, np.uint8)
            for i, split_name in enumerate(SPLITS, 1):
                number[parts.get(split_name, [])] = i
            if self.place.writable:
                try:
                    self._write(name, number)
                except OSError as error:
                    _say(error)
            return parts
        parts = {split_name: np.flatnonzero(number == i) for i, split_name in enumerate(SPLITS, 1)}
        return {split_name: rows for split_name, rows in parts.items() if len(rows)}

    def _path(self, name: str) -> Path:
        return self.place.folder / f"{self.name}.{name}"

    def _write(self, name: str, array: npt.NDArray[np.generic]) -> None:
        path = self._path(f"{name}.npy")
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.ascontiguousarray(array))
        _seal(path)

    def _map(self, name: str) -> npt.NDArray[np.generic] | None:
        """Map an array into memory; ``None`` if it is missing or damaged."""
        path = self._path(f"{name}.npy")
        if not _is_whole(path):
            return None
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            # Copy-on-write, since torch rejects read-only memory.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            return np.frombuffer(mapped, dtype, offset=file.tell()).reshape(shape)


def _hash(value: object) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=8).hexdigest()


def _digest(file: BinaryIO) -> str:
    digest = hashlib.blake2b(digest_size=16)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _sealed(path: Path) -> Path:
    return path.with_name(f"{path.name}.digest")


def _seal(path: Path) -> None:
    with path.open("rb") as file:
        write_text(_sealed(path), _digest(file))


def _is_whole(path: Path) -> bool:
    """Return whether a file exists and is undamaged."""
    try:
        with path.open("rb") as file:
            whole = _digest(file) == _sealed(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    if not whole:
        log.warning(f"Expected a whole file in the cache but {path.name} is damaged; it is rebuilt.")
    return whole


def _say(error: OSError) -> None:
    log.warning(f"Expected to write to the cache but got: {error}; the table is read each time.")

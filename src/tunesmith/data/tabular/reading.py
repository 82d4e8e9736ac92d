"""Read a user's table as text from CSV, Parquet or JSON lines; errors name the line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.contract.plain import PlainData
from tunesmith.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from pyarrow.parquet import ParquetFile

MAX_CHARACTERS = 1_000_000
"""Maximum length of a text or a line; far more than any backbone can use."""

SUFFIXES = (".csv", ".parquet", ".jsonl")
"""Suffixes of the supported files."""

BETWEEN = ";"
"""Separator between the items of a list that was joined into one cell."""


AT_ONCE = 8192
"""Rows that are read at once."""


class Joined(str):
    """A cell that was a list: its items, joined with `BETWEEN`."""

    __slots__ = ()


def cell(value: object) -> str:
    """Convert a value to a cell of stripped text; ``None`` becomes empty, and a list `Joined`."""
    if isinstance(value, list | np.ndarray):
        return Joined(BETWEEN.join(map(cell, value)))
    return "" if value is None else str(value).strip()


def read(file: Path, key: str = "data.file") -> Iterator[dict[str, list[str]]]:
    """Read cells by column, some rows at a time, as stripped text; an empty cell is an empty string.

    CSV cells are not converted, so that a class ``007`` stays one. In JSON lines every line is an object; see `cell`
    for lists. A column that some rows lack may be missing where they are read.

    Args:
        file: The table.
        key: Name of the setting, for messages.

    Raises:
        DataError: The file does not exist, is of another kind, or cannot be read.
    """
    if file.suffix not in SUFFIXES:
        raise DataError(f"Expected {key} to end in .csv, .parquet or .jsonl but got {file}.")
    if not file.is_file():
        raise DataError(f"Expected {key} to be a table but there is no file {file}.")
    empty = True
    try:
        for cells in READERS[file.suffix](file):
            if any(cells.values()):
                empty = False
                yield cells
    except UnicodeDecodeError as err:
        raise DataError(
            f"Expected {file} to be text in UTF-8 but line {_bad_line(file)} is not; save it as UTF-8."
        ) from err
    except (ValueError, OSError) as err:
        raise DataError(f"Expected a table in {file} but it cannot be read: {str(err).splitlines()[0]}.") from err
    if empty:
        raise DataError(f"Expected at least one row in {file} but got none.")


def lines_of(file: Path) -> Iterator[str]:
    """Yield the lines of a text file without their ends.

    Raises:
        DataError: A line is not UTF-8.
    """
    try:
        with file.open(encoding="utf-8-sig") as lines:
            yield from (line.rstrip("\r\n") for line in lines)
    except UnicodeDecodeError as err:
        raise DataError(
            f"Expected {file} to be text in UTF-8 but line {_bad_line(file)} is not; save it as UTF-8."
        ) from err


def plain_files(path: Path, key: str = "data.file") -> list[Path]:
    """Return a .txt file, or all in a folder.

    Args:
        path: File or folder.
        key: Name of the setting, for messages.

    Raises:
        DataError: There is none.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*.txt") if p.is_file() and not p.name.startswith("."))
    else:
        files = [path] if path.suffix == ".txt" and path.is_file() else []
    if not files:
        raise DataError(f"Expected {key} to be a .txt file, or a folder with some, but got {path}.")
    return files


def plain_lines(file: Path) -> list[str]:
    """Read the lines of a plain text file without their ends.

    Raises:
        DataError: It is empty, or a line is too long or not UTF-8.
    """
    lines = list(lines_of(file))
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_CHARACTERS:
            raise DataError(
                f"Expected lines of at most {MAX_CHARACTERS:,} characters in {file} but line {number} has "
                f"{len(line):,}; cut it into several."
            )
    if not any(line.strip() for line in lines):
        raise DataError(f"Expected text in {file} but it is empty; remove it, or fill it.")
    return lines


def objects_of(lines: Iterable[tuple[int, str]], file: Path) -> Iterator[tuple[int, str, object]]:
    """Parse each non-empty line of JSON; yield its number, a description of its place, and its value.

    Args:
        lines: Lines with their numbers.
        file: Their file, for messages.

    Raises:
        DataError: A line is not JSON.
    """
    for number, line in lines:
        if not line.strip():
            continue
        where = f"line {number} of {file}"
        try:
            found = json.loads(line)
        except ValueError as err:
            raise DataError(f"Expected JSON in {where} but it cannot be read ({err}).") from err
        yield number, where, found


def _csv(file: Path) -> Iterator[dict[str, list[str]]]:
    import pandas as pd

    with pd.read_csv(file, dtype=str, keep_default_na=False, chunksize=AT_ONCE) as frames:
        before = 0
        for frame in frames:
            rows = len(frame)
            whole = frame if isinstance(frame.index, pd.RangeIndex) else _without_surplus(frame, before)
            before += rows
            yield _cells(whole)


def _parquet(file: Path) -> Iterator[dict[str, list[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as source:
        gaps = _gaps(source)
        for batch in source.iter_batches(AT_ONCE):
            frame = pa.Table.from_batches([batch]).to_pandas()
            # pandas reads integers as floats in batches with gaps; so that all batches agree, convert them all.
            floats = {name: float for name in gaps if isinstance(frame.dtypes.get(name), np.dtype)}
            yield _cells(frame.astype(floats))


def _gaps(source: ParquetFile) -> list[str]:
    """Return the columns of integers with missing values."""
    import pyarrow.types as types

    whole = [field.name for field in source.schema_arrow if types.is_integer(field.type)]
    missing = dict.fromkeys(whole, 0)
    for batch in source.iter_batches(AT_ONCE, columns=whole) if whole else ():
        for name in whole:
            missing[name] += batch.column(name).null_count
    return [name for name, number in missing.items() if number]


def _cells(frame: pd.DataFrame) -> dict[str, list[str]]:
    return {
        str(name): ["" if gone else cell(value) for value, gone in zip(column, column.isna())]  # noqa: B905 - of one column
        for name, column in frame.items()
    }


def _without_surplus(frame: pd.DataFrame, before: int) -> pd.DataFrame:
    """Restore columns that pandas took for an index because every row ends in commas that the header lacks."""
    whole = frame.reset_index(allow_duplicates=True)
    surplus = (whole.iloc[:, len(frame.columns) :] != "").any(axis=1)
    if surplus.any():
        row = before + int(surplus.to_numpy().argmax()) + 1
        raise ValueError(f"it should have rows with as many cells as the header but row {row} has more")
    return whole.iloc[:, : len(frame.columns)].set_axis(frame.columns, axis=1)


def _json_lines(file: Path) -> Iterator[dict[str, list[str]]]:
    names: dict[str, None] = {}
    with file.open(encoding="utf-8-sig") as lines:
        rows = _objects(lines)
        while block := list(islice(rows, AT_ONCE)):
            names |= dict.fromkeys(name for row in block for name in row)
            yield {name: [cell(row.get(name)) for row in block] for name in names}


def _objects(lines: Iterable[str]) -> Iterator[PlainData]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as err:
            raise ValueError(f"line {number} is no JSON ({err})") from err
        if not isinstance(row, dict):
            raise ValueError(f'line {number} is no object, such as {{"text": …}}')
        yield row


READERS = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines}
"""Readers of the supported files, by suffix."""


def _bad_line(file: Path) -> int:
    """Return the number, from 1, of the first line that is not UTF-8."""
    number = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):  # noqa: B007 - used after the loop
            try:
                line.decode()
            except UnicodeDecodeError:
                break
    return number

"""Write the cells of a table as Arrow columns, some rows at a time, and map them into memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from tunesmith.atomic import atomic
from tunesmith.data.column import Column

Cells = Mapping[str, list[str]]
"""Cells of some rows by column."""

JOINED = b"joined"
"""Key of the metadata that lists the columns with cells that were lists."""


class BrokenColumnsError(Exception):
    """Raised for a file that is no whole Arrow file."""


def write(batches: Iterator[Cells], path: Path) -> None:
    """Write cells to a file atomically.

    Args:
        batches: Cells of some rows each; a column that a batch lacks is empty there.
        path: The file.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    with atomic(path) as temporary, pa.OSFile(str(temporary), "wb") as sink:
        _write(batches, sink)


def held(batches: Iterator[Cells]) -> dict[str, Column]:
    """Keep cells in memory, in the form of the file."""
    sink = pa.BufferOutputStream()
    _write(batches, sink)
    return _columns(pa.BufferReader(sink.getvalue()))


def mapped(path: Path) -> dict[str, Column]:
    """Map a file's columns into memory: pages are read on access, and shared by all processes.

    Raises:
        BrokenColumnsError: It was not written by `write`, or not as a whole.
    """
    try:
        return _columns(pa.memory_map(str(path)))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise BrokenColumnsError(f"{path.name}: {error}") from error


def _write(batches: Iterator[Cells], sink: pa.NativeFile) -> None:
    """Write streams with one schema each, one behind the other: a table may have columns that begin late."""
    writer: pa.RecordBatchStreamWriter | None = None
    schema: pa.Schema | None = None
    for cells in batches:
        joined = sorted(name for name, own in cells.items() if any(type(cell) is not str for cell in own))
        fields = [(name, pa.large_string()) for name in cells]
        found = pa.schema(fields, {JOINED: json.dumps(joined).encode()})
        if writer is None or not found.equals(schema, check_metadata=True):
            if writer is not None:
                writer.close()
            writer, schema = pa.ipc.new_stream(sink, found), found
        arrays = [pa.array(own, pa.large_string()) for own in cells.values()]
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=found))
    if writer is not None:
        writer.close()


def _columns(source: pa.NativeFile) -> dict[str, Column]:
    tables, joined = [], set()
    while source.tell() < source.size():
        tables.append(pa.ipc.open_stream(source).read_all())
        joined |= set(json.loads((tables[-1].schema.metadata or {}).get(JOINED, b"[]")))
    if not tables:
        return {}
    whole = pa.concat_tables([table.replace_schema_metadata() for table in tables], promote_options="default")
    return {name: Column(whole.column(name), name in joined) for name in whole.column_names}

"""Fill an entry: compute every row once, file by file, sharing the work with other processes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tunesmith.cache.frozen import BATCH
from tunesmith.cache.shard import Shard
from tunesmith.cache.store import Entry, Layout
from tunesmith.data.progress import track


class Recipe(Protocol):
    """The content of an entry, and how to compute it.

    Attributes:
        about: Everything that the content depends on; see `key`.
        what: The content in words.
        doing: The computation in words.
        sample: The first rows, as stored.
        row_bytes: Bytes per row, at most.
        asked: Whether the user asked for it: then it need not pay within this run.
    """

    about: dict[str, object]
    what: str
    doing: str
    sample: dict[str, Tensor]
    row_bytes: int
    asked: bool

    def seconds(self) -> float:
        """Measure the seconds per row."""
        ...

    def parts(self, spans: Sequence[range]) -> Iterator[dict[str, Tensor]]:
        """Compute rows: for each span, tensors that are concatenated along their first axis."""
        ...


def fill(entry: Entry, layout: Layout, missing: Sequence[int], recipe: Recipe) -> dict[int, Shard]:
    """Compute and write the missing files of an entry.

    Each process starts with a random file and skips those that have appeared meanwhile: so several share the work
    without a lock, and if two compute the same file, the first one wins.

    Args:
        entry: The entry.
        layout: Layout of its rows.
        missing: Numbers of the missing files.
        recipe: Computes the rows.

    Raises:
        OSError: A file cannot be written.
        DataError: An image cannot be read.
    """
    entry.prepare()
    first = secrets.randbelow(len(missing))
    done: dict[int, Shard] = {}
    before = {shard: _stamp(entry, shard) for shard in missing}
    total = sum(len(layout.span(shard)) for shard in missing)
    progress = iter(track(range(total), recipe.doing, total))
    for shard in [*missing[first:], *missing[:first]]:
        rows = layout.span(shard)
        theirs = entry.open(shard, layout) if _stamp(entry, shard) != before[shard] else None
        if theirs is None:
            found: dict[str, list[Tensor]] = {}
            spans = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
            for span, part in zip(spans, recipe.parts(spans), strict=True):
                for name, tensor in part.items():
                    found.setdefault(name, []).append(tensor)
                _advance(progress, len(span))
            entry.save(shard, {name: torch.cat(parts) for name, parts in found.items()})
        else:
            _advance(progress, len(rows))
        opened = theirs or entry.open(shard, layout)
        if opened is None:
            raise OSError(f"{entry.path(shard)} does not hold what was just written")
        done[shard] = opened
    _advance(progress, 1)  # past the end, which removes the bar
    return done


def _advance(progress: Iterator[int], count: int) -> None:
    for _ in range(count):
        next(progress, None)


def _stamp(entry: Entry, shard: int) -> tuple[int, int] | None:
    try:
        found = entry.path(shard).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns

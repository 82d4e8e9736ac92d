"""Filling an entry: every row made once, file by file, shared with whoever else is at it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from tunesmith.cache.frozen import BATCH
from tunesmith.cache.shard import Shard
from tunesmith.cache.store import Entry, Layout
from tunesmith.data.progress import track


class Recipe(Protocol):
    """What an entry holds, and how it is made.

    Attributes:
        about: All that its content depends on; see `key`.
        what: It in words, for people.
        doing: How it is made, in words.
        sample: What the first rows are, as they are kept.
        row_bytes: Bytes that a row takes, at most.
        asked: Whether the user asked for it: then it need not pay in this run.
    """

    about: dict[str, Any]
    what: str
    doing: str
    sample: dict[str, Tensor]
    row_bytes: int
    asked: bool

    def seconds(self) -> float:
        """Seconds that a row takes, measured."""
        ...

    def parts(self, spans: Sequence[range]) -> Iterator[dict[str, Tensor]]:
        """Make rows: for each span, tensors that are put one after another along their first axis."""
        ...


def fill(entry: Entry, layout: Layout, missing: Sequence[int], recipe: Recipe) -> dict[int, Shard]:
    """Make and write the files of an entry that are missing.

    Each process begins with another file and leaves out those that have appeared meanwhile: so several share the work
    without a lock, and where two do the same, the first one wins.

    Args:
        entry: The entry.
        layout: Of its rows.
        missing: Numbers of the files.
        recipe: Makes the rows.

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
    _advance(progress, 1)  # past the end, where the bar is taken down
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

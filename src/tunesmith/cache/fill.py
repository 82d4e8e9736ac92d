"""Filling an entry: every picture once through the frozen part, file by file, shared with whoever else is at it."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

from tunesmith.cache.frozen import BATCH, Cut, Frozen
from tunesmith.cache.shard import Shard
from tunesmith.cache.store import Entry, Layout
from tunesmith.data.dataset import PictureDataset
from tunesmith.data.memory import cores
from tunesmith.data.progress import track
from tunesmith.data.sampler import Key

AHEAD = 2
"""Batches that are decoded ahead, by threads, while the backbone runs."""


class Source(Protocol):
    """Pictures in the order of an entry's rows."""

    def batches(self, spans: Sequence[range]) -> Iterator[list[Tensor]]:
        """Give uint8 pictures ``(C, H, W)``, a list for each span of rows."""
        ...


class Plain:
    """Pictures as in evaluation.

    Args:
        dataset: Without augmentation.
    """

    def __init__(self, dataset: PictureDataset) -> None:
        self.dataset = dataset

    def batches(self, spans: Sequence[range]) -> Iterator[list[Tensor]]:
        """Decode ahead with one thread a core (Pillow lets go of the interpreter lock)."""
        waiting: deque[list[Future[Tensor]]] = deque()
        with ThreadPoolExecutor(cores()) as pool:
            try:
                for span in spans:
                    waiting.append([pool.submit(self.dataset.decode, position) for position in span])
                    if len(waiting) > AHEAD:
                        yield [future.result() for future in waiting.popleft()]
                while waiting:
                    yield [future.result() for future in waiting.popleft()]
            finally:
                pool.shutdown(cancel_futures=True)


class View:
    """Training pictures augmented as they are in one epoch.

    Args:
        dataset: With augmentation.
        epoch: The epoch.
    """

    def __init__(self, dataset: PictureDataset, epoch: int) -> None:
        self.dataset = dataset
        self.epoch = epoch

    def batches(self, spans: Sequence[range]) -> Iterator[list[Tensor]]:
        """Draw them one after another: augmentation takes its numbers from the global stream."""
        for span in spans:
            yield [s["input"] for s in self.dataset.__getitems__([Key(self.epoch, position) for position in span])]


def fill(
    entry: Entry,
    layout: Layout,
    missing: Sequence[int],
    source: Source,
    frozen: Frozen,
    cut: Cut,
    dtype: torch.dtype | None,
) -> dict[int, Shard]:
    """Compute and write the files of an entry that are missing.

    Each process begins with another file and leaves out those that have appeared meanwhile: so several share the work
    without a lock, and where two do the same, the first one wins.

    Args:
        entry: The entry.
        layout: Of its rows.
        missing: Numbers of the files.
        source: The pictures.
        frozen: Runs them.
        cut: What is kept.
        dtype: Type of numbers to keep; ``None`` for that of the computation.

    Raises:
        OSError: A file cannot be written.
        DataError: A picture cannot be read.
    """
    entry.prepare()
    first = secrets.randbelow(len(missing))
    done: dict[int, Shard] = {}
    before = {shard: _stamp(entry, shard) for shard in missing}
    total = sum(len(layout.span(shard)) for shard in missing)
    progress = iter(track(range(total), f"Running {cut.stages} frozen stages once", total))
    for shard in [*missing[first:], *missing[:first]]:
        rows = layout.span(shard)
        theirs = entry.open(shard, layout) if _stamp(entry, shard) != before[shard] else None
        if theirs is None:
            found: dict[str, list[Tensor]] = {}
            for pictures in source.batches([rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]):
                for name, tensor in frozen.run(pictures, cut).items():
                    found.setdefault(name, []).append(tensor.to(dtype or tensor.dtype))
                _advance(progress, len(pictures))
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

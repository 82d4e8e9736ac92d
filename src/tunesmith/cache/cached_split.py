"""What is served in place of images: rows of an entry, chosen by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tunesmith.cache.shard import Shard
from tunesmith.cache.store import Layout
from tunesmith.contract.batch import Activations

LET_GO = 256 * 2**20
"""Bytes after which the pages of an entry that is too large for memory are given back."""


@final
class OpenEntry:
    """An entry that is open, all of it.

    Args:
        shards: All its files.
        layout: How its rows lie in them.
        rows: Row of the data's table of each of its rows ``(N,)``.
        frugal: Whether it is too large to stay in memory.
    """

    def __init__(self, shards: Sequence[Shard], layout: Layout, rows: npt.NDArray[np.int64], frugal: bool) -> None:
        self.shards = shards
        self.layout = layout
        self.frugal = frugal
        self.place = np.full(int(rows.max()) + 1, -1)
        self.place[rows] = np.arange(len(rows))
        self._read = 0

    def locate(self, row: int) -> tuple[int, int]:
        """File and offset in it of a row of the table."""
        return divmod(int(self.place[row]), self.layout.per_shard)

    def touch(self, size: int) -> None:
        """Count bytes that are read, and give memory back now and then where it is short."""
        if not self.frugal:
            return
        self._read += size
        if self._read > LET_GO:
            self._read = 0
            for shard in self.shards:
                shard.let_go()


@final
class Rows:
    """Activations, read by rows of the data's table.

    Args:
        opened: The entry.
        dtypes: Type of numbers that each tensor was computed in, which may be wider than what is kept.
    """

    def __init__(self, opened: OpenEntry, dtypes: Mapping[str, torch.dtype]) -> None:
        self.opened = opened
        self.dtypes = dtypes

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        shard, offset = self.opened.locate(row)
        kept = self.opened.shards[shard].tensors
        found = {name: tensor[offset].to(self.dtypes[name]) for name, tensor in kept.items()}
        self.opened.touch(sum(tensor.nbytes for tensor in found.values()))
        return found


@final
class CachedSplit:
    """What is kept of a split.

    Args:
        firsts: First epoch of each phase ``(P,)``, int64. In shared memory, since a phase may begin ahead of its time
            when worker processes that outlive an epoch are there already.
        phases: The views that are kept for each phase; none where it needs the images themselves. Epoch e takes view
            e modulo their number.

    Attributes:
        complete: Whether no image is needed.
    """

    def __init__(self, firsts: Tensor, phases: Sequence[Sequence[Rows]]) -> None:
        self.firsts = firsts
        self.phases = phases
        self.complete = all(phases)

    def find(self, epoch: int, row: int) -> Activations | None:
        """What is kept of a row of the table for an epoch; ``None`` where the image itself is needed."""
        views = self.views(epoch)
        return views[epoch % len(views)][row] if views else None

    def views(self, epoch: int) -> Sequence[Rows]:
        """The views that an epoch can be served from."""
        return self.phases[int((self.firsts <= epoch).sum()) - 1]

"""Serve cached rows in place of samples, chosen by epoch."""

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
"""Bytes read after which the pages of an entry too large for memory are released."""


@final
class OpenEntry:
    """A complete, opened entry.

    Args:
        shards: All its files.
        layout: How its rows are distributed over the files.
        rows: Row of the data's table for each of its rows ``(N,)``.
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
        """Return the file of a row of the table, and the offset in it."""
        return divmod(int(self.place[row]), self.layout.per_shard)

    def touch(self, size: int) -> None:
        """Count bytes that were read, and release memory from time to time if it is short."""
        if not self.frugal:
            return
        self._read += size
        if self._read > LET_GO:
            self._read = 0
            for shard in self.shards:
                shard.let_go()


@final
class Rows:
    """Activations by row of the data's table.

    Args:
        opened: The entry.
        dtypes: Type in which each tensor was computed, which may be wider than the stored one.
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
    """The cached part of a split.

    Args:
        firsts: First epoch of each phase ``(P,)``, int64. In shared memory, because a phase may begin early while
            persistent worker processes are running.
        phases: Cached views per phase; empty if the phase needs the samples themselves. Epoch e takes view e modulo
            their number.

    Attributes:
        complete: Whether no sample itself is needed.
    """

    def __init__(self, firsts: Tensor, phases: Sequence[Sequence[Rows]]) -> None:
        self.firsts = firsts
        self.phases = phases
        self.complete = all(phases)

    def find(self, epoch: int, row: int) -> Activations | None:
        """Return the cached row of the table for an epoch; ``None`` if the sample itself is needed."""
        views = self.views(epoch)
        return views[epoch % len(views)][row] if views else None

    def views(self, epoch: int) -> Sequence[Rows]:
        """Return the views that serve an epoch."""
        return self.phases[int((self.firsts <= epoch).sum()) - 1]

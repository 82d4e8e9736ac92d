"""What is served in place of pictures: rows of an entry, chosen by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tunesmith.cache.shard import Shard
from tunesmith.cache.store import Layout
from tunesmith.contracts import Activations

LET_GO = 256 * 2**20
"""Bytes after which the pages of an entry that is too large for memory are given back."""


@final
class Rows:
    """An entry, read by rows of the data's table.

    Args:
        shards: All its files.
        layout: How its rows lie in them.
        rows: Row of the table of each of its rows ``(N,)``.
        dtypes: Type of numbers that each tensor was computed in, which may be wider than what is kept.
        frugal: Whether it is too large to stay in memory.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        layout: Layout,
        rows: npt.NDArray[np.int64],
        dtypes: dict[str, torch.dtype],
        frugal: bool,
    ) -> None:
        self.shards = shards
        self.layout = layout
        self.dtypes = dtypes
        self.frugal = frugal
        self.place = np.full(int(rows.max()) + 1, -1)
        self.place[rows] = np.arange(len(rows))
        self._read = 0

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        shard, offset = divmod(int(self.place[row]), self.layout.per_shard)
        found = {name: t[offset].to(self.dtypes[name]) for name, t in self.shards[shard].tensors.items()}
        if self.frugal:
            self._read += sum(t.nbytes for t in found.values())
            if self._read > LET_GO:
                self._read = 0
                for each in self.shards:
                    each.let_go()
        return found


@final
class Kept:
    """What is kept of a split.

    Args:
        firsts: First epoch of each phase ``(P,)``, int64. In shared memory, since a phase may begin ahead of its time
            when worker processes that outlive an epoch are there already.
        phases: The views that are kept for each phase; none where it needs the pictures themselves. Epoch e takes view
            e modulo their number.

    Attributes:
        complete: Whether no picture is needed.
    """

    def __init__(self, firsts: Tensor, phases: Sequence[Sequence[Rows]]) -> None:
        self.firsts = firsts
        self.phases = phases
        self.complete = all(phases)

    def find(self, epoch: int, row: int) -> Activations | None:
        """What is kept of a row of the table for an epoch; ``None`` where the picture itself is needed."""
        views = self.phases[int((self.firsts <= epoch).sum()) - 1]
        return views[epoch % len(views)][row] if views else None

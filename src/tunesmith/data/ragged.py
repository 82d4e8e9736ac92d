"""Pack tensors of differing shapes into a few large ones: values, offsets and shapes."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from tempfile import TemporaryFile
from typing import BinaryIO, cast, overload

import numpy as np
import torch
from torch import Tensor

from tunesmith.data.table import Ints

BLOCK = 4096
"""Number of rows that are packed at once."""

SPOOL = 256 * 2**20
"""Maximum bytes of values in memory; more are collected in a temporary file."""


class Ragged(Sequence[Tensor]):
    """Rows of one dtype and number of dimensions but differing shapes; each is a view of the values.

    Args:
        values: Values of all rows, one row after another ``(V,)``.
        offsets: Begin of each row in ``values``, and end of the last ``(N + 1,)``, int64.
        shapes: Shape of each row ``(N, D)``, int32; or of all rows ``(1, D)``, with -1 for a dimension that differs.
    """

    def __init__(self, values: Tensor, offsets: Tensor, shapes: Tensor) -> None:
        self.values = values
        self.offsets = offsets
        self.shapes = shapes

    @classmethod
    def of(cls, rows: Iterable[Tensor]) -> Ragged:
        """Pack rows, which may come from a generator and are not all held in memory."""
        packer, left = Packer(), iter(rows)
        while block := list(islice(left, BLOCK)):
            packer.add(block)
        return packer.packed()

    @classmethod
    def unpack(cls, tensors: Mapping[str, Tensor], name: str) -> Ragged:
        """Restore rows that were packed under a name by `pack`."""
        return cls(tensors[name], tensors[f"{name}.offsets"], tensors[f"{name}.shapes"])

    def pack(self, name: str) -> dict[str, Tensor]:
        """Return the tensors that make up the rows, by name."""
        return {name: self.values, f"{name}.offsets": self.offsets, f"{name}.shapes": self.shapes}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, at: int) -> Tensor: ...

    @overload
    def __getitem__(self, at: slice) -> list[Tensor]: ...

    def __getitem__(self, at: int | slice) -> Tensor | list[Tensor]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        row = int(at) + len(self) if at < 0 else int(at)
        if not 0 <= row < len(self):
            raise IndexError(f"Expected a row below {len(self)} but got {at}.")
        begin, end = self.offsets[row : row + 2].tolist()
        shape = self.shapes[0 if len(self.shapes) == 1 else row].tolist()
        return self.values[begin:end].view(shape)

    def sizes(self, rows: Ints | None = None) -> Tensor:
        """Return the last dimension of all rows, or of some ``(R,)``, int32."""
        if len(self.shapes) == len(self):
            last = self.shapes[:, -1]
            return last if rows is None else last[torch.from_numpy(rows)]
        *others, last_one = self.shapes[0].tolist()
        count = len(self) if rows is None else len(rows)
        if last_one >= 0:
            return torch.full((count,), last_one, dtype=torch.int32)
        found = np.empty(count, np.int32)
        offsets, inner = self.offsets.numpy(), int(np.prod(others, dtype=np.int64))
        for start in range(0, count, 2**20):  # in parts, to save as much memory as the offsets take
            own = slice(start, min(start + 2**20, count))
            some = np.arange(own.start, own.stop) if rows is None else rows[own]
            found[own] = (offsets[some + 1] - offsets[some]) // inner
        return torch.from_numpy(found)


def sizes(rows: Sequence[Tensor], of: Ints | None = None) -> Tensor:
    """Return the last dimension of all rows, or of some ``(R,)``, int32."""
    if isinstance(rows, Ragged):
        return rows.sizes(of)
    chosen = range(len(rows)) if of is None else of.tolist()
    return torch.tensor([rows[row].shape[-1] for row in chosen], dtype=torch.int32)


class Packer:
    """Packs rows, some at a time: in memory, or in a temporary file if they are large."""

    def __init__(self) -> None:
        self.blocks: list[Tensor] = []
        self.shapes: list[Tensor] = []
        self.size = 0
        self.dtype = torch.int32
        self.file: BinaryIO | None = None

    def add(self, rows: Sequence[Tensor]) -> None:
        """Add rows."""
        if not rows:
            return
        self.shapes.append(torch.tensor([row.shape for row in rows], dtype=torch.int32))
        self.blocks.append(torch.cat([row.reshape(-1) for row in rows]))
        self.dtype = self.blocks[-1].dtype
        self.size += self.blocks[-1].nbytes
        if self.size > SPOOL:
            self.file = self.file or cast(BinaryIO, TemporaryFile())  # noqa: SIM115 - closed by `packed`
            for block in self.blocks:
                self.file.write(block.view(torch.uint8).numpy().data)
            self.blocks = []

    def packed(self) -> Ragged:
        """Return all rows; call it once."""
        shapes = torch.cat(self.shapes) if self.shapes else torch.zeros(0, 1, dtype=torch.int32)
        offsets = torch.zeros(len(shapes) + 1, dtype=torch.int64)
        torch.cumsum(torch.prod(shapes, 1, dtype=torch.int64), 0, out=offsets[1:])
        return Ragged(self._values(), offsets, _common(shapes))

    def _values(self) -> Tensor:
        if self.file is None:
            return torch.cat(self.blocks) if self.blocks else torch.zeros(0, dtype=self.dtype)
        with self.file as file:
            file.flush()
            # Copy-on-write, since torch rejects read-only memory; the map outlives the file's name and handle.
            return torch.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=self.dtype)


def _common(shapes: Tensor) -> Tensor:
    """Shorten shapes ``(N, D)`` to one, if they differ in at most one dimension, whose size the offsets then tell."""
    if len(shapes) < 2:
        return shapes
    same = (shapes == shapes[0]).all(0)
    if (~same).sum() > 1 or not bool(shapes[0][same].all()):
        return shapes
    return torch.where(same, shapes[0], -1)[None].to(torch.int32)


def int32(rows: Iterable[Sequence[object]]) -> list[Tensor]:
    """Convert each row to an int32 tensor."""
    return [torch.tensor(row, dtype=torch.int32) for row in rows]


def numbers_of(column: Iterable[Tensor]) -> Ints:
    """Return the single number of each tensor."""
    return np.array([int(number) for number in column], dtype=np.int64)


def arrays_of(column: Iterable[Tensor]) -> list[Ints]:
    """Return each tensor as an array."""
    return [tensor.numpy().astype(np.int64) for tensor in column]

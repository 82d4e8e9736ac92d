"""One file of kept tensors: safetensors that carry their own digest, whole or not there, read through a memory map."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from tunesmith.atomic import atomic

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_META = "__metadata__"
_BLOCK = 2**20


class BrokenShardError(Exception):
    """A file that is missing, cut short, altered, or of another make."""


class Shard:
    """The tensors of a file, mapped into memory: pages are read when they are touched, and shared by all processes.

    Args:
        path: As `write` wrote it.

    Raises:
        BrokenShardError: The file is missing, or its header and its length are not of one piece.

    Attributes:
        tensors: By name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header: dict[str, Any] = json.loads(file.read(length))
                # Copy on write, since torch takes no memory that is read-only; nobody writes.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            self._digest = header.pop(_META)["digest"]
            self._spans = {n: [8 + length + offset for offset in e["data_offsets"]] for n, e in header.items()}
            if len(self._map) != max(end for _, end in self._spans.values()):
                raise ValueError("its length is another")
            self.tensors = {n: self._view(n, _DTYPES[e["dtype"]], e["shape"]) for n, e in header.items()}
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
            raise BrokenShardError(f"{path.name}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path,)  # a map cannot be sent to another process

    def _view(self, name: str, dtype: torch.dtype, shape: list[int]) -> Tensor:
        begin, end = self._spans[name]
        return torch.frombuffer(self._map, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=begin).view(shape)

    def verify(self) -> None:
        """Read the whole file and compare the digest.

        Raises:
            BrokenShardError: It is another.
            OSError: The file cannot be read.
        """
        digest = hashlib.blake2b(_outline(self.tensors), digest_size=16)
        # Read, and not mapped: what is only looked through must not count as memory of this process.
        with self.path.open("rb") as file:
            for _, (begin, end) in sorted(self._spans.items()):
                file.seek(begin)
                for offset in range(begin, end, _BLOCK):
                    digest.update(file.read(min(_BLOCK, end - offset)))
        if digest.hexdigest() != self._digest:
            raise BrokenShardError(f"{self.path.name}: its content is not what was written")

    def let_go(self) -> None:
        """Give back the pages that were touched; the system may well hold them for the next time."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a file that appears whole.

    Args:
        path: Where it appears.
        tensors: By name, each contiguous and on the CPU.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    digest = hashlib.blake2b(_outline(tensors), digest_size=16)
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    with atomic(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata={"digest": digest.hexdigest()})
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(f"{path.name}: {error}") from error


def _outline(tensors: Mapping[str, Tensor]) -> bytes:
    return repr([(name, str(t.dtype), tuple(t.shape)) for name, t in sorted(tensors.items())]).encode()

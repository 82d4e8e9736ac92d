"""One file of kept tensors: safetensors that carry their own digest, whole or not there, read through a memory map."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from tunesmith.atomic import atomic

PIXELS = "pixels"
"""Name of the one tensor whose rows differ in size, and lie one after another."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
}
_META = "__metadata__"
_BLOCK = 2**20


class BrokenShardError(Exception):
    """A file that is missing, cut short, altered, or of another make."""


class Shard:
    """The tensors of a file, mapped into memory: pages are read when they are touched, and shared by all processes.

    Args:
        path: As `write` wrote it.
        verify: Whether to read the whole file and compare its digest.

    Raises:
        BrokenShardError: The file is missing, or not what was written.

    Attributes:
        tensors: By name.
    """

    def __init__(self, path: Path, verify: bool = True) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header: dict[str, Any] = json.loads(file.read(length))
                expected = header.pop(_META)["digest"]
                # Copy on write, since torch takes no memory that is read-only; nobody writes.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                spans = {n: [8 + length + offset for offset in e["data_offsets"]] for n, e in header.items()}
                if len(self._map) != max(end for _, end in spans.values()):
                    raise ValueError("its length is another")
                self.tensors = {n: self._view(e["dtype"], e["shape"], *spans[n]) for n, e in header.items()}
                # From the file that was mapped: the name may stand for a newer one by now.
                if verify and _digest(file, self.tensors, spans) != expected:
                    raise ValueError("its content is not what was written")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
            raise BrokenShardError(f"{path.name}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path, False)  # a map cannot be sent to another process

    def _view(self, dtype: str, shape: list[int], begin: int, end: int) -> Tensor:
        kind = _DTYPES[dtype]
        if begin == end:
            return torch.empty(shape, dtype=kind)
        return torch.frombuffer(self._map, dtype=kind, count=(end - begin) // kind.itemsize, offset=begin).view(shape)

    @property
    def lengths(self) -> set[int]:
        """Numbers of rows of its tensors: one, where it is what it should be."""
        return {len(tensor) for name, tensor in self.tensors.items() if name != PIXELS}

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


def _digest(file: BinaryIO, tensors: Mapping[str, Tensor], spans: Mapping[str, list[int]]) -> str:
    """Digest a file by reading it: the pages of a map that are only looked through would count as this process's."""
    digest = hashlib.blake2b(_outline(tensors), digest_size=16)
    for _, (begin, end) in sorted(spans.items()):
        file.seek(begin)
        for offset in range(begin, end, _BLOCK):
            digest.update(file.read(min(_BLOCK, end - offset)))
    return digest.hexdigest()


def _outline(tensors: Mapping[str, Tensor]) -> bytes:
    return repr([(name, str(t.dtype), tuple(t.shape)) for name, t in sorted(tensors.items())]).encode()

"""Store tensors in one file: safetensors with a digest, written atomically, read through a memory map."""

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

from tunesmith import recorded
from tunesmith.atomic import atomic

MOST = 1 << 24
"""Bytes of a header."""

PIXELS = "pixels"
"""Name of the one tensor whose rows differ in size and are concatenated."""

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
    """Raised for a file that is missing, truncated, altered, or of another format."""


class Shard:
    """The tensors of a file, mapped into memory: pages are read on access, and shared by all processes.

    Args:
        path: File written by `write`.
        verify: Whether to read the whole file and compare its digest.

    Raises:
        BrokenShardError: The file is missing, or differs from what was written.

    Attributes:
        tensors: Tensors by name.
    """

    def __init__(self, path: Path, verify: bool = True) -> None:
        self.path = path
        try:
            with recorded.opened(path) as file:
                length = int.from_bytes(file.read(8), "little")
                if length > MOST:
                    raise ValueError("its header is too long")
                header: dict[str, Any] = json.loads(file.read(length))
                expected = header.pop(_META)["digest"]
                # Copy-on-write, since torch rejects read-only memory; nobody writes.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                spans = {n: [8 + length + offset for offset in e["data_offsets"]] for n, e in header.items()}
                if len(self._map) != max(end for _, end in spans.values()):
                    raise ValueError("its length is another")
                self.tensors = {n: self._view(e["dtype"], e["shape"], *spans[n]) for n, e in header.items()}
                # Hash the mapped file itself: by now, the name may refer to a newer one.
                if verify and _digest(file, self.tensors, spans) != expected:
                    raise ValueError("its content is not what was written")
        except (OSError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise BrokenShardError(f"{path.name}: {error}") from error

    def __reduce__(self) -> tuple[object, ...]:
        return Shard, (self.path, False)  # a memory map cannot be pickled

    def _view(self, dtype: str, shape: list[int], begin: int, end: int) -> Tensor:
        kind = _DTYPES[dtype]
        if begin == end and 0 in shape:
            return torch.empty(shape, dtype=kind)
        return torch.frombuffer(self._map, dtype=kind, count=(end - begin) // kind.itemsize, offset=begin).view(shape)

    @property
    def lengths(self) -> set[int]:
        """Numbers of rows of its tensors: exactly one in a valid file."""
        return {len(tensor) for name, tensor in self.tensors.items() if name != PIXELS}

    def let_go(self) -> None:
        """Release the pages that were read; the system may still keep them in its page cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a file atomically.

    Args:
        path: The file.
        tensors: Tensors by name, each contiguous and on the CPU.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    digest = hashlib.blake2b(_outline(tensors), digest_size=16)
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    with atomic(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata={"digest": digest.hexdigest()})
        except SafetensorError as error:  # raised when the disk is full
            raise OSError(f"{path.name}: {error}") from error


def _digest(file: BinaryIO, tensors: Mapping[str, Tensor], spans: Mapping[str, list[int]]) -> str:
    """Hash a file by reading it: reading through the map would count its pages as this process's memory."""
    digest = hashlib.blake2b(_outline(tensors), digest_size=16)
    for _, (begin, end) in sorted(spans.items()):
        file.seek(begin)
        for offset in range(begin, end, _BLOCK):
            digest.update(file.read(min(_BLOCK, end - offset)))
    return digest.hexdigest()


def _outline(tensors: Mapping[str, Tensor]) -> bytes:
    return repr([(name, str(t.dtype), tuple(t.shape)) for name, t in sorted(tensors.items())]).encode()

"""Decode images once and keep them in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from tunesmith.data.image.decode import ImageError
from tunesmith.data.progress import track
from tunesmith.errors import DataError


class Memory:
    """The decoded images of a split, in one buffer.

    A tensor per image could exceed the limit on open files, since worker processes may receive each as a file.

    Args:
        images: uint8 ``(C, H, W)``, of any sizes; the list is emptied.
    """

    def __init__(self, images: list[Tensor]) -> None:
        self.shapes = torch.tensor([p.shape for p in images])
        self.ends = self.shapes.prod(1).cumsum(0)
        self.buffer = torch.empty(int(self.ends[-1]), dtype=torch.uint8)
        for i in range(len(images) - 1, -1, -1):  # from the end, so that each is freed once it is copied
            image = images.pop()
            self.buffer[int(self.ends[i]) - image.numel() : int(self.ends[i])] = image.flatten()

    def __getitem__(self, position: int) -> Tensor:
        shape = self.shapes[position].tolist()
        end = int(self.ends[position])
        return self.buffer[end - shape[0] * shape[1] * shape[2] : end].view(shape)


def decode_all(decode: Callable[[int], Tensor], count: int, description: str) -> Memory:
    """Decode every image with one thread per core (Pillow releases the interpreter lock).

    Args:
        decode: Decodes the image at a position to uint8 ``(C, H, W)``.
        count: Number of images.
        description: Text of the progress bar.

    Raises:
        DataError: Some images cannot be read; the message lists the first ten.
    """

    def attempt(position: int) -> Tensor | ImageError:
        try:
            return decode(position)
        except ImageError as err:
            return err

    with ThreadPoolExecutor(cores()) as pool:
        outcomes = list(track(pool.map(attempt, range(count)), description, count))
    bad = [o for o in outcomes if isinstance(o, ImageError)]
    if len(bad) == 1:
        raise bad[0]
    if bad:
        listed = "\n".join(f"  {err}" for err in bad[:10])
        raise DataError(f"Expected {count} readable images but {len(bad)} of them are not:\n{listed}")
    return Memory([o for o in outcomes if isinstance(o, Tensor)])


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes() -> int:
    """Return the memory available without swapping: the least of the machine's, the container's and the process's."""
    return min(_candidates())


def _candidates() -> Iterator[int]:
    try:
        meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        yield int(meminfo["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # not Linux: half of the physical memory
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        group = Path("/sys/fs/cgroup")
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(stat["inactive_file"])
        yield int((group / "memory.max").read_text()) - used
    except (OSError, KeyError, ValueError):  # no container, or no limit ("max")
        pass
    if sys.platform.startswith("linux"):
        import resource  # only on Unix

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]  # ulimit -v
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if limit != resource.RLIM_INFINITY:
            yield limit - used

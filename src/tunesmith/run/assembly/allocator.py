"""Tune the C library's allocator for training on a CPU."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, on Linux with glibc; elsewhere do nothing.

    By default glibc returns every large block to the system, so that each step waits for the kernel to zero the pages
    of its activations. Keeping them made training of EfficientNet-Lite0 1.2 to 1.7 times as fast in float32 and 1.1 to
    1.4 times under bf16-mixed. The process stays as large as its largest step.

    Returns:
        Whether the allocator accepted the settings.
    """
    libc = _glibc()
    if libc is None:
        return False
    # Older versions accept at most half a heap's size, 32 MiB.
    taken = libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30) or libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    return bool(libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1) and taken)


def give_back() -> None:
    """Return unused memory to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None

"""Check disk space before writing a checkpoint, and explain a full disk in one sentence."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from tunesmith.errors import RunError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRITER = "PytorchStreamWriter", "unexpected pos", "file write failed"
"""Messages of torch's own writer, which raises no `OSError`."""


def size_of(checkpoint: object) -> int:
    """Return the minimum size on disk of the tensors in nested containers, in bytes."""
    if isinstance(checkpoint, Tensor):
        return checkpoint.numel() * checkpoint.element_size()
    if isinstance(checkpoint, dict):
        return sum(map(size_of, checkpoint.values()))
    return sum(map(size_of, checkpoint)) if isinstance(checkpoint, list | tuple) else 0


def of_weights(module: nn.Module) -> int:
    """Return the size on disk of a module's parameters and buffers, in bytes."""
    return size_of([*module.parameters(), *module.buffers()])


def check(folder: Path, size: int) -> None:
    """Check that a number of bytes fits on a disk, with 1 MiB left for the log.

    Raises:
        RunError: It does not fit.
    """
    free = _free(folder)
    if free < size + 2**20:
        raise RunError(
            f"Expected {_shown(size)} of free disk for checkpoints in {folder} but got {_shown(free)}; what was saved "
            "before is left as it is. Free some space, or set paths.logs to another disk."
        )


@contextlib.contextmanager
def told(path: Path, run: Path) -> Iterator[None]:
    """Explain in one sentence why a file could not be written.

    Raises:
        RunError: The disk is full or read-only.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        code = error.errno if isinstance(error, OSError) else None
        full = code in FULL or any(word in str(error) for word in WRITER)
        if not full and not isinstance(error, OSError):
            raise
        why = "the disk is full" if full else f"{type(error).__name__}: {error}"
        raise RunError(
            f"Expected to save {path.name} but {why} ({_shown(_free(path.parent))} free); what was "
            f"saved before is left as it is. Free some space, then continue with resume={run}."
        ) from error


def _free(folder: Path) -> int:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"

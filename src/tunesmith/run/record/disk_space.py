"""Room on the disk: looked for before a checkpoint is written, and missed in a sentence."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tunesmith.errors import RunError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRITER = "PytorchStreamWriter", "unexpected pos", "file write failed"
"""What torch's own writer says in place of an `OSError`."""


def size_of(checkpoint: Any) -> int:
    """Bytes that the tensors in nested containers take on disk, at least."""
    if isinstance(checkpoint, Tensor):
        return checkpoint.numel() * checkpoint.element_size()
    if isinstance(checkpoint, dict):
        return sum(map(size_of, checkpoint.values()))
    return sum(map(size_of, checkpoint)) if isinstance(checkpoint, list | tuple) else 0


def of_weights(module: nn.Module) -> int:
    """Bytes that a module's weights take on disk."""
    return size_of([*module.parameters(), *module.buffers()])


def check(folder: Path, size: int) -> None:
    """Make sure that something fits on a disk, and that a little is left for the log.

    Args:
        folder: Where, or where it will be made.
        size: In bytes.

    Raises:
        RunError: It does not.
    """
    free = _free(folder)
    if free < size + 2**20:
        raise RunError(
            f"Expected {_shown(size)} of free disk for checkpoints in {folder} but got {_shown(free)}; what was saved "
            "before is left as it is. Make room, or set paths.logs to another disk."
        )


@contextlib.contextmanager
def told(path: Path, run: Path) -> Iterator[None]:
    """Tell in a sentence that a file could not be written.

    Args:
        path: The file.
        run: The run folder that it is in.

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
            f"saved before is left as it is. Make room, then go on with resume={run}."
        ) from error


def _free(folder: Path) -> int:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"

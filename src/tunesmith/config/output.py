"""Check the folder that a command will write to, before importing anything heavy."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from tunesmith.errors import RunError

LEAST = 16 * 2**20
"""Bytes of free disk that even a small run needs."""


def check_output(cfg: DictConfig, command: str) -> None:
    """Check that a command can write its files.

    Args:
        cfg: Its checked configuration.
        command: The command.

    Raises:
        RunError: The folder cannot be created or written to, or its disk is full.
    """
    folder = _folder(cfg, command)
    if folder is None:
        return
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(20, "a file is in its place")
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
    except OSError as error:
        raise RunError(
            f"Expected to write into {folder} but got: {error.strerror} ({there}); choose another with paths.logs."
        ) from error
    free = shutil.disk_usage(there).free
    if free < LEAST:
        raise RunError(
            f"Expected at least {LEAST / 2**20:.0f} MiB of free disk at {there} but got {free / 2**20:.1f}; make room, "
            "or choose another disk with paths.logs."
        )


def _folder(cfg: DictConfig, command: str) -> Path | None:
    if command != "train":
        return None
    resume, logs = (OmegaConf.select(cfg, key, default=None) for key in ("resume", "paths.logs"))
    named = logs if resume in (None, "auto") else resume
    return Path(str(named)).expanduser().absolute() if named else None

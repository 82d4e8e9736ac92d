"""Find the files of a source that comes as one file, or as one file per split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tunesmith.data.table import SPLIT_WORDS, Strings
from tunesmith.errors import DataError, nearest

FILE_WORDS = {**SPLIT_WORDS, "dev": "val", "testa": "val", "testb": "test"}
"""Words that mark a split's file, between dots, dashes and underscores; includes those of CoNLL-2003."""


def files_of(path: Path, what: str) -> list[Path]:
    """Return the file itself, or a folder's files that are named after a split, sorted.

    Args:
        path: File or folder.
        what: Its content in words.

    Raises:
        DataError: The folder has no such file.
    """
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.is_file() and split_of(file))
    if not found:
        raise DataError(f"Expected a file of {what}, or a folder with one called train, but got {path}.")
    return found


def split_of(file: Path) -> str | None:
    """Return the split that a file is named after; ``None`` if it is not."""
    words = re.split(r"[._-]", file.name.lower())
    return next((FILE_WORDS[word] for word in words if word in FILE_WORDS), None)


def folders_of(files: Sequence[Path], found: Sequence[tuple[Path, str | None]], names: Sequence[str]) -> Strings | None:
    """Return the split of each sample, by its file if there are several, or as stated in the file; else ``None``.

    Args:
        files: All files.
        found: File and split word of each sample.
        names: Names of the samples, for messages.

    Raises:
        DataError: A word does not name a split.
    """
    if len(files) > 1:
        return np.array([str(split_of(file)) for file, _ in found])
    if all(word is None for _, word in found):
        return None
    for name, (_, word) in zip(names, found, strict=True):
        if str(word).lower() not in SPLIT_WORDS:
            raise DataError(
                f"Expected train, val or test as the split of {name} but got '{word}'.{nearest(str(word), SPLIT_WORDS)}"
            )
    return np.array([SPLIT_WORDS[str(word).lower()] for _, word in found])

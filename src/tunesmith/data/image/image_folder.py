"""Read a user's images from one folder per class."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import ImageArguments
from tunesmith.data.image.decode import SUFFIXES
from tunesmith.data.image.module import ImageData
from tunesmith.data.table import SPLIT_WORDS, SPLITS, Table
from tunesmith.errors import DataError

log = logging.getLogger(__name__)


class ImageFolder(ImageData):
    """Images in ``root/class/…``, or in ``root/train/class/…`` and the same for val (valid, validation) and test.

    Class folders are searched recursively. The second layout applies if ``root`` has a folder ``train`` and no folders
    other than splits.

    Args:
        root: The folder; ``~`` is the home folder.
        channels: 3 for colour, 1 for grey; files are converted.
        **common: Arguments of `ImageData`.
    """

    def __init__(self, *, root: str, channels: Literal[1, 3] = 3, **common: Unpack[ImageArguments]) -> None:
        super().__init__(**common)
        self.root = root
        self.channels: Literal[1, 3] = channels

    def load(self) -> Table:
        """List the images.

        Raises:
            DataError: There is no such folder, there are no class folders, or a class has no images.
        """
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise DataError(f"Expected data.root to be a folder but got {root}, which is not.")
        splits = _split_folders(root)
        listed = [
            (file, label.name, split)
            for folder, split in (splits or {root: ""}).items()
            for label in _folders(folder)
            for file in _files(label)
        ]
        files = [file for file, _, _ in listed if file.suffix.lower() in SUFFIXES]
        _warn(Counter(file.suffix.lower() for file, _, _ in listed if file.suffix.lower() not in SUFFIXES))
        rows = [(label, split) for file, label, split in listed if file.suffix.lower() in SUFFIXES]
        classes = sorted({label.name for folder in splits or [root] for label in _folders(folder)})
        _check(root, classes, [label for label, _ in rows])
        return Table(
            samples=files,
            targets=np.array([classes.index(label) for label, _ in rows], dtype=np.int64),
            class_names=tuple(classes),
            names=np.array([file.relative_to(root).as_posix() for file in files]),
            channels=self.channels,
            folders=np.array([split for _, split in rows]) if splits else None,
        )


def _split_folders(root: Path) -> dict[Path, str]:
    folders = _folders(root)
    if not (root / "train").is_dir() or any(f.name not in SPLIT_WORDS for f in folders):
        return {}
    found = {f: SPLIT_WORDS[f.name] for f in folders}
    for split in SPLITS:
        same = [f.name for f, s in found.items() if s == split]
        if len(same) > 1:
            raise DataError(f"Expected one folder for {split} in {root} but got {' and '.join(same)}; merge them.")
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith("."))


def _warn(ignored: Counter[str]) -> None:
    if ignored:
        kinds = ", ".join(f"{n} {suffix or 'without suffix'}" for suffix, n in sorted(ignored.items()))
        log.warning(f"Skipped {ignored.total()} non-image files: {kinds}.")


def _check(root: Path, classes: list[str], labels: list[str]) -> None:
    if len(classes) < 2:
        raise DataError(f"Expected a folder per class in {root} but got {', '.join(classes) or 'no folders'}.")
    if empty := sorted(set(classes) - set(labels)):
        raise DataError(
            f"Expected images ({', '.join(sorted(SUFFIXES))}) in every class folder of {root} "
            f"but got none in {', '.join(empty)}; add some, or remove the folder."
        )

"""The table that every source of pictures is read into: one row a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tunesmith.errors import DataError

Ints = npt.NDArray[np.int64]
Strings = npt.NDArray[np.str_]
Pixels = npt.NDArray[np.uint8]
Pictures = Sequence[Path] | Pixels

SPLITS = ("train", "val", "test")
"""The names of the splits, in the order they are shown."""


@dataclass(frozen=True)
class Table:
    """All pictures of a source, before they are split.

    Attributes:
        pictures: Paths of files, or pixels ``(N, H, W)`` or ``(N, H, W, 3)``, uint8.
        targets: Class index of each picture ``(N,)``, int64.
        class_names: One name a class, in the order of the indices.
        names: What a prediction table calls each picture ``(N,)``; independent of where the data lie.
        channels: Channels to decode to: 1 (grey) or 3 (RGB).
        groups: Group of each picture ``(N,)``, where pictures come in groups that resemble each other.
        group_unit: What a group is, in words.
        folders: Predefined split of each picture ``(N,)``: ``train``, ``val`` or ``test``.
    """

    pictures: Pictures
    targets: Ints
    class_names: tuple[str, ...]
    names: Strings
    channels: Literal[1, 3] = 3
    groups: Ints | None = None
    group_unit: str | None = None
    folders: Strings | None = None

    def __post_init__(self) -> None:
        columns = {"pictures": self.pictures, "names": self.names, "groups": self.groups, "folders": self.folders}
        for name, column in columns.items():
            if column is not None and len(column) != len(self):
                raise DataError(f"Expected {len(self)} {name}, one a target, but got {len(column)}.")
        if not len(self):
            raise DataError("Expected at least one picture but got none.")
        if self.targets.min() < 0 or self.targets.max() >= len(self.class_names):
            got = f"{self.targets.min()} to {self.targets.max()}"
            raise DataError(f"Expected class indices from 0 to {len(self.class_names) - 1} but got {got}.")
        if len(self.class_names) < 2:
            raise DataError(f"Expected at least two classes but got {', '.join(self.class_names)}.")
        if len(set(self.names.tolist())) != len(self):
            raise DataError("Expected every picture to have a name of its own but some names occur twice.")
        if self.channels not in (1, 3):
            raise DataError(f"Expected channels to be 1 (grey) or 3 (RGB) but got {self.channels}.")

    def __len__(self) -> int:
        """Number of pictures N."""
        return len(self.targets)

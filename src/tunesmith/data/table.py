"""The table that every source of images or texts is read into: one row a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.column import RowNames
from tunesmith.errors import DataError
from tunesmith.modality import base as modalities
from tunesmith.target.base import Target, of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Strings = npt.NDArray[np.str_]
Pixels = npt.NDArray[np.uint8]
Images = Sequence[Path] | Pixels
Text = tuple[str, ...]
"""A text, the two texts of a pair, or the words of a text."""

SPLITS = ("train", "val", "test")
"""The names of the splits, in the order they are shown."""

SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What a source may call a split, and the split."""


@dataclass(frozen=True)
class Table:
    """All images or texts of a source, before they are split.

    Attributes:
        samples: Paths of images, or their pixels ``(N, H, W)`` or ``(N, H, W, 3)``, uint8; or texts.
        targets: As the kind of target has them: an array of N rows, or a sequence of N plain values.
        class_names: One name a class, label, value or tag, in the order of the indices.
        names: What a prediction table calls each sample ``(N,)``; independent of where the data lie.
        channels: Channels to decode images to: 1 (grey) or 3 (RGB).
        groups: Group of each sample ``(N,)``, where samples come in groups that resemble each other.
        group_unit: What a group is, in words.
        folders: Predefined split of each sample ``(N,)``: ``train``, ``val`` or ``test``.
        kind: Name of the kind of target, as `DataSpec` has it.
        weights: Weight of each sample in the loss ``(N,)``, float32, where the data have weights.
        guessed: Whether the groups are a guess; those that the source states are kept together unasked.
        modality: Name of the modality of the samples.
    """

    samples: Any  # Images, or a sequence of Text
    targets: Any  # Ints, Floats, or a sequence of plain values
    class_names: tuple[str, ...]
    names: Strings | RowNames
    channels: int = 3
    groups: Ints | None = None
    group_unit: str | None = None
    folders: Strings | None = None
    kind: str = "class"
    weights: Floats | None = None
    guessed: bool = False
    modality: str = "image"

    def __post_init__(self) -> None:
        for name in ("samples", "names", "groups", "folders", "weights"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self):
                raise DataError(f"Expected {len(self)} {name}, one a target, but got {len(column)}.")
        if not len(self):
            raise DataError(f"Expected at least one of the {self.what} but got none.")
        self.target.check(self.targets, self.class_names)
        if not isinstance(self.names, RowNames) and len(set(self.names.tolist())) != len(self):
            raise DataError(f"Expected each of the {self.what} to have a name of its own but some names occur twice.")
        modalities.of(self.modality).channels(self.channels)
        if self.weights is not None and not (np.isfinite(self.weights) & (self.weights >= 0)).all():
            raise DataError("Expected every weight to be a number of at least 0 but some are not.")

    def __len__(self) -> int:
        """Number of samples N."""
        return len(self.targets)

    @property
    def what(self) -> str:
        """What the samples are, for people."""
        return modalities.of(self.modality).plural

    @property
    def target(self) -> Target:
        """The kind of target."""
        return of(self.kind)

    def targets_of(self, rows: Ints) -> Any:
        """Targets of some rows, in their order: an array, or a list of plain values."""
        return self.targets[rows] if isinstance(self.targets, np.ndarray) else [self.targets[row] for row in rows]

    def contradict(self, one: int, other: int) -> bool:
        """Whether two rows have different targets."""
        return bool(np.any(self.targets[one] != self.targets[other]))

    def keep(self, rows: Ints) -> Table:
        """The table of some rows only, in their order."""

        def cut(column: Any) -> Any:
            if column is None or isinstance(column, np.ndarray | RowNames):
                return column if column is None else column[rows]
            return [column[row] for row in rows]

        return replace(
            self,
            samples=cut(self.samples),
            targets=cut(self.targets),
            names=cut(self.names),
            groups=cut(self.groups),
            folders=cut(self.folders),
            weights=cut(self.weights),
        )

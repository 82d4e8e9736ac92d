"""Define the table that every source of images or texts is read into, with one row per sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import TypeVar

from tunesmith.data.column import RowNames
from tunesmith.errors import DataError
from tunesmith.modality import base as modalities
from tunesmith.target.base import Target, of
from tunesmith.target.table.cells import Targets

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Strings = npt.NDArray[np.str_]
Pixels = npt.NDArray[np.uint8]
Images: TypeAlias = Sequence[Path] | Pixels
"""Files, or pixels ``(N, H, W)`` or ``(N, H, W, 3)``."""
Text: TypeAlias = tuple[str, ...]
"""A text, the two texts of a pair, or the words of a text."""

S = TypeVar("S", bound=Images | Sequence[Text], default=Any)
T = TypeVar("T", bound=Targets, default=Any)

SPLITS = ("train", "val", "test")
"""The names of the splits, in the order they are shown."""

SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The split for each word that a source may use for it."""

COLUMNS = ("samples", "targets", "names", "groups", "folders", "weights")
"""Attributes of a `Table` with an item per sample."""


@dataclass(frozen=True)
class Table(Generic[S, T]):
    """All images or texts S of a source and their targets T, before they are split.

    Attributes:
        samples: N images or texts.
        targets: Targets of N samples, in the form of their kind.
        class_names: One name per class, label, value or tag, in the order of the indices.
        names: Names of the samples in prediction tables ``(N,)``, independent of the data's location.
        channels: Channels to decode images to: 1 (grey) or 3 (RGB).
        groups: Group of each sample ``(N,)``; ``None`` if the data have no groups.
        group_unit: Description of a group.
        folders: Predefined split of each sample ``(N,)``: ``train``, ``val`` or ``test``; ``None`` without one.
        kind: Name of the kind of target, as in `DataSpec`.
        weights: Weight of each sample in the loss ``(N,)``, float32; ``None`` if the data have no weights.
        guessed: Whether the groups are a guess; ``split.by=auto`` only respects groups that the source states.
        modality: Name of the modality of the samples.
    """

    samples: S
    targets: T
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
        for name in COLUMNS:
            column = getattr(self, name)
            if column is not None and len(column) != len(self):
                raise DataError(f"Expected {len(self)} {name}, one per target, but got {len(column)}.")
        if not len(self):
            raise DataError(f"Expected at least one of the {self.what} but got none.")
        self.target.check(self.targets, self.class_names)
        if not isinstance(self.names, RowNames) and len(set(self.names.tolist())) != len(self):
            raise DataError(f"Expected each of the {self.what} to have a name of its own but some names occur twice.")
        modalities.of(self.modality).channels(self.channels)
        if self.weights is not None and not (np.isfinite(self.weights) & (self.weights >= 0)).all():
            raise DataError("Expected every weight to be a number of at least 0 but some are not.")

    def __len__(self) -> int:
        """Return the number of samples N."""
        return len(self.targets)

    @property
    def what(self) -> str:
        """Word for the samples in messages."""
        return modalities.of(self.modality).plural

    @property
    def target(self) -> Target:
        """The kind of target."""
        return of(self.kind)

    def targets_of(self, rows: Ints) -> T:
        """Return the targets of some rows, in their order."""
        found: T = _selected(self.targets, rows)
        return found

    def contradict(self, one: int, other: int) -> bool:
        """Return whether two rows have different targets."""
        return bool(np.any(self.targets[one] != self.targets[other]))

    def keep(self, rows: Ints, names: Strings | None = None) -> Table[S, T]:
        """Return the table of some rows only, in their order; rows that occur several times need new names."""
        columns = {name: _selected(getattr(self, name), rows) for name in COLUMNS}
        return replace(self, **columns | ({} if names is None else {"names": names}))


def _selected(column: Any, rows: Ints) -> Any:
    if column is None or isinstance(column, np.ndarray | RowNames):
        return column if column is None else column[rows]
    return [column[row] for row in rows]

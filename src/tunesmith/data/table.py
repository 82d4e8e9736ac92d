"""The table that every source of pictures or texts is read into: one row a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunesmith.errors import DataError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Strings = npt.NDArray[np.str_]
Pixels = npt.NDArray[np.uint8]
Pictures = Sequence[Path] | Pixels
Text = tuple[str, ...]
"""A text, or the two texts of a pair."""
Kind = Literal["class", "multilabel", "value", "ordinal"]

SPLITS = ("train", "val", "test")
"""The names of the splits, in the order they are shown."""

SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What a source may call a split, and the split."""


@dataclass(frozen=True)
class Table:
    """All pictures or texts of a source, before they are split.

    Attributes:
        samples: Paths of pictures, or their pixels ``(N, H, W)`` or ``(N, H, W, 3)``, uint8; or texts.
        targets: Class index of each sample ``(N,)``, int64, where ``kind`` is class or ordinal; its labels, 0 or 1, or
            its values ``(N, K)``, float32.
        class_names: One name a class, label or value, in the order of the indices.
        names: What a prediction table calls each sample ``(N,)``; independent of where the data lie.
        channels: Channels to decode to: 1 (grey) or 3 (RGB); 0 for texts.
        groups: Group of each sample ``(N,)``, where samples come in groups that resemble each other.
        group_unit: What a group is, in words.
        folders: Predefined split of each sample ``(N,)``: ``train``, ``val`` or ``test``.
        kind: Kind of target, as `contracts.DataSpec` has it.
        weights: Weight of each sample in the loss ``(N,)``, float32, where the data have weights.
        guessed: Whether the groups are a guess; those that the source states are kept together unasked.
    """

    samples: Any  # Pictures, or a sequence of Text
    targets: Ints | Floats
    class_names: tuple[str, ...]
    names: Strings
    channels: Literal[0, 1, 3] = 3
    groups: Ints | None = None
    group_unit: str | None = None
    folders: Strings | None = None
    kind: Kind = "class"
    weights: Floats | None = None
    guessed: bool = False

    def __post_init__(self) -> None:
        for name in ("samples", "names", "groups", "folders", "weights"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self):
                raise DataError(f"Expected {len(self)} {name}, one a target, but got {len(column)}.")
        if not len(self):
            raise DataError(f"Expected at least one of the {self.what} but got none.")
        if self.classes:
            _check_classes(self.targets, self.class_names)
        else:
            _check_columns(self.targets, self.class_names, self.kind)
        if len(set(self.names.tolist())) != len(self):
            raise DataError(f"Expected each of the {self.what} to have a name of its own but some names occur twice.")
        if self.channels not in (0, 1, 3):
            raise DataError(f"Expected channels to be 1 (grey) or 3 (RGB) but got {self.channels}.")
        if self.weights is not None and not (np.isfinite(self.weights) & (self.weights >= 0)).all():
            raise DataError("Expected every weight to be a number of at least 0 but some are not.")

    def __len__(self) -> int:
        """Number of samples N."""
        return len(self.targets)

    @property
    def what(self) -> Literal["pictures", "texts"]:
        """What the samples are, for people."""
        return "pictures" if self.channels else "texts"

    @property
    def classes(self) -> bool:
        """Whether each picture has one of several classes, with or without an order."""
        return self.kind in ("class", "ordinal")

    def keep(self, rows: Ints) -> Table:
        """The table of some rows only, in their order."""

        def cut(column: Any) -> Any:
            return None if column is None else column[rows]

        return replace(
            self,
            samples=cut(self.samples) if isinstance(self.samples, np.ndarray) else [self.samples[r] for r in rows],
            targets=cut(self.targets),
            names=cut(self.names),
            groups=cut(self.groups),
            folders=cut(self.folders),
            weights=cut(self.weights),
        )


def _check_classes(targets: Ints | Floats, names: tuple[str, ...]) -> None:
    if targets.min() < 0 or targets.max() >= len(names):
        raise DataError(
            f"Expected class indices from 0 to {len(names) - 1} but got {targets.min()} to {targets.max()}."
        )
    if len(names) < 2:
        raise DataError(f"Expected at least two classes but got {', '.join(names)}.")


def _check_columns(targets: Ints | Floats, names: tuple[str, ...], kind: Kind) -> None:
    if targets.ndim != 2 or targets.shape[1] != len(names):
        raise DataError(f"Expected one column for each of {', '.join(names)} but got targets of {targets.shape}.")
    if kind == "multilabel" and len(names) < 2:
        raise DataError(
            f"Expected at least two labels but got {', '.join(names)}: one label is a class or its absence."
        )
    if kind == "multilabel" and not np.isin(targets, (0, 1)).all():
        raise DataError("Expected every label to be 0 or 1 but some are not.")
    if not np.isfinite(targets).all():
        raise DataError("Expected every value to be a finite number but some are not.")

"""The table that every source of images or texts is read into: one row a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunesmith.contract.spec import RAGGED, Target
from tunesmith.errors import DataError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Strings = npt.NDArray[np.str_]
Pixels = npt.NDArray[np.uint8]
Images = Sequence[Path] | Pixels
Text = tuple[str, ...]
"""A text, the two texts of a pair, or the words of a text."""
Kind = Target

SPLITS = ("train", "val", "test")
"""The names of the splits, in the order they are shown."""

SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What a source may call a split, and the split."""


@dataclass(frozen=True)
class Table:
    """All images or texts of a source, before they are split.

    Attributes:
        samples: Paths of images, or their pixels ``(N, H, W)`` or ``(N, H, W, 3)``, uint8; or texts.
        targets: Class index of each sample ``(N,)``, int64, where ``kind`` is class or ordinal; its labels, 0 or 1, or
            its values ``(N, K)``, float32. Where it is ragged, a plain value each: of ``tags`` the class indices of a
            text's words, of a ``span`` the accepted answers, each with its first character, ``text`` itself, of
            ``tokens`` nothing, such as 0.
        class_names: One name a class, label, value or tag, in the order of the indices.
        names: What a prediction table calls each sample ``(N,)``; independent of where the data lie.
        channels: Channels to decode to: 1 (grey) or 3 (RGB); 0 for texts.
        groups: Group of each sample ``(N,)``, where samples come in groups that resemble each other.
        group_unit: What a group is, in words.
        folders: Predefined split of each sample ``(N,)``: ``train``, ``val`` or ``test``.
        kind: Kind of target, as `DataSpec` has it.
        weights: Weight of each sample in the loss ``(N,)``, float32, where the data have weights.
        guessed: Whether the groups are a guess; those that the source states are kept together unasked.
    """

    samples: Any  # Images, or a sequence of Text
    targets: Any  # Ints, Floats, or a sequence of plain values
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
        self._check_targets()
        if len(set(self.names.tolist())) != len(self):
            raise DataError(f"Expected each of the {self.what} to have a name of its own but some names occur twice.")
        if self.channels not in (0, 1, 3):
            raise DataError(f"Expected channels to be 1 (grey) or 3 (RGB) but got {self.channels}.")
        if self.weights is not None and not (np.isfinite(self.weights) & (self.weights >= 0)).all():
            raise DataError("Expected every weight to be a number of at least 0 but some are not.")

    def _check_targets(self) -> None:
        if self.classes:
            _check_classes(self.targets, self.class_names)
        elif not self.ragged:
            _check_columns(self.targets, self.class_names, self.kind)

    def __len__(self) -> int:
        """Number of samples N."""
        return len(self.targets)

    @property
    def what(self) -> Literal["images", "texts"]:
        """What the samples are, for people."""
        return "images" if self.channels else "texts"

    @property
    def classes(self) -> bool:
        """Whether each image has one of several classes, with or without an order."""
        return self.kind in ("class", "ordinal")

    @property
    def ragged(self) -> bool:
        """Whether the targets are no array but a sequence of plain values."""
        return self.kind in RAGGED

    def contradict(self, one: int, other: int) -> bool:
        """Whether two rows have different targets."""
        return bool(np.any(self.targets[one] != self.targets[other]))

    def occurrences(self, rows: Ints) -> Floats | None:
        """Which labels, or tags, each of some rows has: 0 or 1 ``(R, K)``; ``None`` of kinds without."""
        if self.kind == "multilabel":
            found: Floats = self.targets[rows]
            return found
        if self.kind not in ("tags", "span"):
            return None
        found = np.zeros((len(rows), len(self.class_names)), np.float32)
        for place, row in enumerate(rows):
            found[place, self.indices_of(row)] = 1
        return found

    def indices_of(self, row: int) -> list[int]:
        """Class indices of a row: of its words, or whether its question has an answer, 0, or has none, 1."""
        target = self.targets[row]
        return [0 if target else 1] if self.kind == "span" else list(target)

    def keep(self, rows: Ints) -> Table:
        """The table of some rows only, in their order."""

        def cut(column: Any) -> Any:
            if column is None or isinstance(column, np.ndarray):
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

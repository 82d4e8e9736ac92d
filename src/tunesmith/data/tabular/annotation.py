"""Read annotations from the columns of a user's table: targets, groups, splits and weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunesmith.data.column import RowNames
from tunesmith.data.table import SPLIT_WORDS, Ints, Strings, Table, Text
from tunesmith.data.tabular.columns import Columns
from tunesmith.errors import DataError, nearest
from tunesmith.target.table.cells import Found

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotation:
    """The columns with annotations.

    Attributes:
        labels: Column or columns with the targets.
        target: Kind of target; see `image_table.ImageTable`.
        separator: Separator between several labels in one column.
        classes: The classes, or the labels in one column, in order.
        split: Column with train, val (valid, validation) or test; ``auto``: ``split`` if there is such a column and it
            has no other use; ``None``: none. The same holds for the next two.
        group: Column of the groups that must not be split; ``auto``: ``group``.
        weight: Column of the sample's weight in the loss; ``auto``: ``weight``.
    """

    labels: str | Sequence[str] = "label"
    target: str = "auto"
    separator: str | None = None
    classes: Sequence[str | int] | None = None
    split: str | None = "auto"
    group: str | None = "auto"
    weight: str | None = "auto"

    def table(
        self,
        columns: Columns,
        samples: Sequence[Path] | Sequence[Text],
        names: Strings | RowNames,
        sources: Sequence[str],
        modality: str,
        channels: int = 3,
        found: Found | None = None,
    ) -> Table:
        """Build the table of samples.

        Args:
            columns: The user's table.
            samples: Sample of each row.
            names: Names of the samples.
            sources: Columns that the samples were made from.
            modality: Modality of the samples.
            channels: Channels of images.
            found: The targets, if they are not made from `labels`.

        Raises:
            DataError: A column is missing, or a cell is invalid.
        """
        labels = [self.labels] if isinstance(self.labels, str) else list(self.labels)
        classes = None if self.classes is None else [str(name) for name in self.classes]
        found = found or columns.target(labels, self.target, self.separator, classes)
        left = set(columns.names) - {*found.columns, *sources}
        group = _optional(left, self.group, "group")
        weight = _optional(left, self.weight, "weight")
        split = _optional(left, self.split, "split")
        self._say(columns, split, group, weight)
        return Table(
            samples=samples,
            targets=found.targets,
            class_names=found.names,
            names=names,
            channels=channels,
            modality=modality,
            groups=None if group is None else _numbered(columns, group),
            group_unit=group,
            folders=None if split is None else _splits(columns, split),
            kind=found.kind,
            weights=None if weight is None else columns.numbers(weight, at_least=0).astype(np.float32),
        )

    def _say(self, columns: Columns, split: str | None, group: str | None, weight: str | None) -> None:
        """Report which columns were chosen by their names alone."""
        keys = {"split_column": (self.split, split), "group": (self.group, group), "weight": (self.weight, weight)}
        taken = {key: name for key, (given, name) in keys.items() if given == "auto" and name is not None}
        if taken:
            left = ", ".join(f"data.{key}=null" for key in taken)
            log.info(f"Taken from {columns.file} by name: {', '.join(taken.values())} (not wanted: {left}).")


def _optional(left: set[str], name: str | None, usual: str) -> str | None:
    return (usual if usual in left else None) if name == "auto" else name


def _numbered(columns: Columns, name: str) -> Ints:
    cells = columns.text(name)
    columns.check(cells == "", name, "a group")
    numbers: Ints = np.unique(cells, return_inverse=True)[1].astype(np.int64)
    return numbers


def _splits(columns: Columns, name: str) -> Strings:
    cells = np.char.lower(columns.text(name))
    for word in np.unique(cells).tolist():
        if word not in SPLIT_WORDS:
            row = int(np.flatnonzero(cells == word)[0])
            raise DataError(
                f"Expected train, val or test in column '{name}' of {columns.file} but row {row + 1} has "
                f"'{word}'.{nearest(word, SPLIT_WORDS)}"
            )
    return np.array([SPLIT_WORDS[word] for word in cells.tolist()])

"""Choose which images train, validate and test: a pure function of the table, the fractions and the split's own seed.

The test part is drawn first, so it does not depend on the size of the validation part.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunesmith.data.fingerprint import Keep, Parts, drawn
from tunesmith.data.spec import count
from tunesmith.data.split.folds import few, one_fold
from tunesmith.data.split.hold_out import By, hold_out
from tunesmith.data.table import SPLITS, Ints, Table
from tunesmith.errors import ConfigError, DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """How to split.

    Attributes:
        by: ``random``; ``stratified``: every part has the classes in the same proportion (for labels and values see
            `strata.strata`); ``group``: all images of a group go to the same part; ``folder``: the source's own parts
            train, val and test; ``auto``: ``folder`` if the source has parts, ``group`` if it states groups, else
            ``stratified``.
        val: Fraction of all images for validation; 0 for none. By folder: fraction of train, if val is missing.
        test: Fraction of all images for testing; 0 for none. Unused by folder.
        seed: Seed of the split, independent of the run's seed, so that runs with other seeds test on the same images.
        folds: Number of folds of a cross-validation, or ``leave_one_out``: the test part is then one of the folds
            instead of the fraction ``test``, and over all folds each image is tested exactly once.
        fold: Index of the tested fold, from 0.
        shots: Number of training images per class, drawn from what would be train; the others are unused.
    """

    by: Literal["auto", "random", "stratified", "group", "folder"] = "stratified"
    val: float = 0.1
    test: float = 0.25
    seed: int = 0
    folds: int | Literal["leave_one_out"] | None = None
    fold: int = 0
    shots: int | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise DataError(
                "Expected split.val and split.test to be at least 0 and to leave something for training "
                f"but got {self.val} and {self.test}."
            )

        if self.folds is None and self.fold:
            raise ConfigError(
                f"Expected data.split.folds with data.split.fold={self.fold} but got none, and every fold would be "
                "the same split; give their number, such as data.split.folds=5."
            )

    def resolve(self, table: Table) -> Literal["random", "stratified", "group", "folder"]:
        """Resolve ``auto`` for a table."""
        if self.by == "auto":
            if table.folders is not None:
                return "folder"
            return "stratified" if table.groups is None or table.guessed else "group"
        return self.by

    def unit(self, table: Table) -> str:
        """Return what is kept together: ``sample``, ``group`` or ``folder``."""
        by = self.resolve(table)
        return by if by in ("group", "folder") else "sample"

    def __call__(self, table: Table, keep: Keep = drawn) -> dict[str, Ints]:
        """Return the rows of each split, ascending, without empty splits.

        Args:
            table: The table.
            keep: Draws the rows, or finds what this split drew of the table before.

        Raises:
            DataError: The table lacks the groups or folders to split by, or has folders and is split otherwise; a class
                has too few images; a part would be empty; a class is missing in train.
        """
        by = self.resolve(table)
        if by != "folder" and table.folders is not None:
            raise DataError(
                f"Expected data that come split to be split as they are but got split.by={self.by}; "
                "use data.split.by=folder, or a source without splits."
            )
        if by == "folder" and self.folds is not None:
            raise DataError("Expected data.split.folds=null for data that come split: their test part is given.")
        if by in ("random", "stratified") and table.groups is not None and not table.guessed:
            log.warning(
                f"data.split.by={by} may put {table.what} of one {table.group_unit or 'group'} into several splits, "
                "so test accuracy will be optimistic; data.split.by=group keeps them together."
            )
        parts = dict(keep(self, lambda: self._drawn(table, by)))
        _check_classes(table, parts)
        return parts

    def _drawn(self, table: Table, by: By | Literal["folder"]) -> Parts:
        parts = self._folders(table) if by == "folder" else self._fractions(table, by)
        if self.shots is not None:
            parts["train"] = few(table, parts["train"], self.shots, self.seed)
        return {name: np.sort(parts[name]) for name in SPLITS if name in parts and len(parts[name])}

    def _folders(self, table: Table) -> dict[str, Ints]:
        if table.folders is None:
            raise DataError(
                "Expected the data to come in folders train and test (and val) but found none; "
                "use data.split.by=stratified."
            )
        parts = {name: np.flatnonzero(table.folders == name) for name in SPLITS}
        if not len(parts["train"]):
            raise DataError(f"Expected a folder train with {table.what} but found none; use data.split.by=stratified.")
        if table.groups is not None:
            _check_groups(table, table.groups, parts)
        if not len(parts["val"]) and self.val:
            number = round(self.val * len(parts["train"]))
            by: By = "stratified" if table.groups is None else "group"
            parts["train"], parts["val"] = hold_out(table, parts["train"], "val", number, by, self.seed)
        return parts

    def _fractions(self, table: Table, by: By) -> dict[str, Ints]:
        parts = {"train": np.arange(len(table))}
        if self.folds is not None:
            parts["train"], parts["test"] = one_fold(table, self.folds, self.fold, by, self.seed)
        for name, fraction in (("test", self.test), ("val", self.val)):
            if fraction and name not in parts:
                number = round(fraction * len(table))
                parts["train"], parts[name] = hold_out(table, parts["train"], name, number, by, self.seed)
        return parts


def _check_groups(table: Table, groups: Ints, parts: dict[str, Ints]) -> None:
    owner: dict[int, str] = {}
    for name, rows in parts.items():
        for group in np.unique(groups[rows]).tolist():
            if owner.setdefault(group, name) != name:
                some = table.names[rows[groups[rows] == group][0]]
                raise DataError(
                    f"Expected every {table.group_unit or 'group'} in one split but that of {some} ({name}) is in "
                    f"{owner[group]} too: fix the split, or use no groups."
                )


def _check_classes(table: Table, parts: dict[str, Ints]) -> None:
    absent = [name for name, number in count(table, parts["train"]).items() if not number]
    table.target.check_train(absent, table.what)

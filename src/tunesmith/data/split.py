"""Which pictures train, validate and test: pure functions of the table, the fractions and the split's own seed.

The test part is drawn first, so it does not depend on the size of the validation part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunesmith.data.table import SPLITS, Ints, Table
from tunesmith.errors import DataError

TRIES = 100
"""Random orders of the groups that are tried; the one that comes nearest to the asked sizes is taken."""


@dataclass(frozen=True)
class Split:
    """How to split.

    Attributes:
        by: ``random``; ``stratified``: every part has the classes in the same proportion; ``group``: all pictures of a
            group fall into one part; ``folder``: the source's folders train, val and test; ``auto``: ``folder`` where
            the source has such folders, else ``stratified``.
        val: Fraction of all pictures for validation; 0 for none. By folder: fraction of train, where val is missing.
        test: Fraction of all pictures for testing; 0 for none. By folder it is not used.
        seed: Of the split; the run's seed has no part in it, so runs with other seeds are tested on the same pictures.
    """

    by: Literal["auto", "random", "stratified", "group", "folder"] = "stratified"
    val: float = 0.1
    test: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise DataError(
                "Expected split.val and split.test to be at least 0 and to leave something for training "
                f"but got {self.val} and {self.test}."
            )

    def resolve(self, table: Table) -> Literal["random", "stratified", "group", "folder"]:
        """Settle what ``auto`` means for a table."""
        if self.by == "auto":
            return "stratified" if table.folders is None else "folder"
        return self.by

    def unit(self, table: Table) -> str:
        """What is kept together: ``sample``, ``group`` or ``folder``."""
        by = self.resolve(table)
        return by if by in ("group", "folder") else "sample"

    def __call__(self, table: Table) -> dict[str, Ints]:
        """Rows of each split, ascending; a split without pictures is left out.

        Raises:
            DataError: The table has no groups or folders and is to be split by them, or has folders and is not; too few
                pictures of a class; a part would be empty; a class is not in train.
        """
        by = self.resolve(table)
        if by != "folder" and table.folders is not None:
            raise DataError(
                f"Expected data that come split into folders to be split by them but got split.by={self.by}; "
                "use data.split.by=folder, or put all pictures into one folder a class."
            )
        parts = self._folders(table) if by == "folder" else self._fractions(table, by)
        parts = {name: np.sort(parts[name]) for name in SPLITS if name in parts and len(parts[name])}
        _check_classes(table, parts)
        return parts

    def _folders(self, table: Table) -> dict[str, Ints]:
        if table.folders is None:
            raise DataError(
                "Expected the data to come in folders train and test (and val) but found none; "
                "use data.split.by=stratified."
            )
        parts = {name: np.flatnonzero(table.folders == name) for name in SPLITS}
        if not len(parts["train"]):
            raise DataError("Expected a folder train with pictures but found none; use data.split.by=stratified.")
        if not len(parts["val"]) and self.val:
            count = round(self.val * len(parts["train"]))
            parts["train"], parts["val"] = hold_out(table, parts["train"], "val", count, "stratified", self.seed)
        return parts

    def _fractions(self, table: Table, by: Literal["random", "stratified", "group"]) -> dict[str, Ints]:
        parts = {"train": np.arange(len(table))}
        for name, fraction in (("test", self.test), ("val", self.val)):
            if fraction:
                count = round(fraction * len(table))
                parts["train"], parts[name] = hold_out(table, parts["train"], name, count, by, self.seed)
        return parts


def hold_out(
    table: Table, rows: Ints, name: str, count: int, by: Literal["random", "stratified", "group"], seed: int
) -> tuple[Ints, Ints]:
    """Part ``rows`` in two.

    Args:
        table: Where the rows' classes and groups are.
        rows: What to part.
        name: Of the part that is held out, for messages.
        count: Pictures to hold out; by group, as near to it as whole groups come.
        by: Rule.
        seed: Of the draw.

    Returns:
        The rows that are left and the rows that are held out.

    Raises:
        DataError: It cannot be done with so few pictures or groups.
    """
    if not 0 < count < len(rows):
        raise DataError(
            f"Expected between 1 and {len(rows) - 1} pictures for {name} but split.{name} asks for {count}; "
            "change data.split, or add pictures."
        )
    if by == "group":
        return _hold_out_groups(table, rows, name, count, seed)
    from sklearn.model_selection import train_test_split  # takes 1.6 s to import

    labels = table.targets[rows] if by == "stratified" else None
    if labels is not None:
        _check_stratifiable(table, labels, name, count)
    rest, held = train_test_split(rows, test_size=count, stratify=labels, random_state=seed)
    return rest, held


def _check_stratifiable(table: Table, labels: Ints, name: str, count: int) -> None:
    sizes = np.bincount(labels, minlength=len(table.class_names))
    scarce = int(sizes.argmin())
    if sizes[scarce] < 2:
        raise DataError(
            f"Expected at least two pictures of every class to take {name} from but got {sizes[scarce]} of class "
            f"'{table.class_names[scarce]}'; add pictures, leave the class out, or use data.split.by=random."
        )
    if min(count, len(labels) - count) < len(sizes):
        raise DataError(
            f"Expected {name} and what is left to hold one picture of each of the {len(sizes)} classes but {name} "
            f"gets {count} of {len(labels)}; change data.split.{name}, or use data.split.by=random."
        )


def _hold_out_groups(table: Table, rows: Ints, name: str, count: int, seed: int) -> tuple[Ints, Ints]:
    if table.groups is None:
        raise DataError("Expected the data to have groups but they have none; use data.split.by=stratified.")
    names, group = np.unique(table.groups[rows], return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"Expected at least two groups to take {name} from but got {len(names)}; "
            f"use data.split.{name}=0 or data.split.by=stratified."
        )
    # Pictures by group and class: the best draw has the asked number of each class, as nearly as whole groups come.
    classes = np.zeros((len(names), len(table.class_names)))
    np.add.at(classes, (group, table.targets[rows]), 1)
    wanted = classes.sum(0) * count / len(rows)
    rng = np.random.default_rng(seed)
    best, chosen = np.inf, names[:0]
    for _ in range(TRIES):
        order = rng.permutation(len(names))
        sizes = classes[order].sum(1).cumsum()
        cut = int(np.abs(sizes[:-1] - count).argmin()) + 1
        distance = float(np.abs(classes[order[:cut]].sum(0) - wanted).sum())
        if distance < best:
            best, chosen = distance, order[:cut]
    held = np.isin(group, chosen)
    return rows[~held], rows[held]


def _check_classes(table: Table, parts: dict[str, Ints]) -> None:
    counts = np.bincount(table.targets[parts["train"]], minlength=len(table.class_names))
    absent = [name for name, n in zip(table.class_names, counts, strict=True) if not n]
    if absent:
        raise DataError(
            f"Expected pictures of every class in train but got none of {', '.join(absent)}; "
            "add some, leave the class out, or split otherwise (data.split)."
        )

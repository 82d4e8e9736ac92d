"""Split for cross-validation and few-shot training: the rows that one fold tests, and a few rows per class."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tunesmith.data.split.hold_out import By, groups_of
from tunesmith.data.split.strata import strata
from tunesmith.data.table import Ints, Table
from tunesmith.errors import DataError

Folds = int | Literal["leave_one_out"]


def one_fold(table: Table, folds: Folds, fold: int, by: By, seed: int) -> tuple[Ints, Ints]:
    """Split off one fold; over all folds, each row is tested exactly once.

    Args:
        table: Table with the targets and groups.
        folds: Number of folds; ``leave_one_out``, or the number of images, means one fold per image, or, by group, one
            per group.
        fold: Index of the fold, from 0.
        by: Rule: ``stratified`` keeps the classes in proportion; ``group`` keeps groups together, and the classes in
            proportion as closely as whole groups allow.
        seed: Seed of the draw.

    Returns:
        The remaining rows and the tested rows.

    Raises:
        DataError: There are too few images, images per class or groups for this many folds, or the fold is empty.
    """
    rows = np.arange(len(table))
    units = np.unique(groups_of(table), return_inverse=True)[1] if by == "group" else rows
    most = int(units.max()) + 1
    number = most if folds == "leave_one_out" else folds
    if not 2 <= number <= most:
        what = "groups" if by == "group" else table.what
        raise DataError(f"Expected data.split.folds from 2 to {most}, the number of {what}, but got {number}.")
    if not 0 <= fold < number:
        raise DataError(f"Expected data.split.fold from 0 to {number - 1} but got {fold}.")
    if number == most:
        tested = units == fold
    else:
        tested = np.zeros(len(table), bool)
        tested[_drawn(table, number, fold, by, seed)] = True
    if not tested.any():
        raise DataError(f"Expected {table.what} in every fold but fold {fold} has none; use fewer data.split.folds.")
    return rows[~tested], rows[tested]


def _drawn(table: Table, number: int, fold: int, by: By, seed: int) -> Ints:
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold  # takes 1.6 s to import

    rows = np.arange(len(table))
    labels = strata(table, rows, len(rows) // number)
    if by != "random" and table.target.exclusive:
        _check_classes(table, labels, number)
    kinds = {"random": KFold, "stratified": StratifiedKFold, "group": StratifiedGroupKFold}
    splitter = kinds[by](n_splits=number, shuffle=True, random_state=seed)
    found: list[tuple[Ints, Ints]] = list(splitter.split(rows, labels, table.groups if by == "group" else None))
    return found[fold][1]


def _check_classes(table: Table, labels: Ints, number: int) -> None:
    sizes = np.bincount(labels, minlength=len(table.class_names))
    scarce = int(sizes.argmin())
    if sizes[scarce] < number:
        raise DataError(
            f"Expected at least {number} {table.what} of every class for {number} folds but got {sizes[scarce]} of "
            f"class '{table.class_names[scarce]}'; use fewer data.split.folds, or data.split.by=random."
        )


def few(table: Table, rows: Ints, shots: int, seed: int) -> Ints:
    """Draw ``shots`` of ``rows`` per class; with the same seed, fewer shots are a subset of more.

    Raises:
        DataError: The targets are not classes, or a class has too few.
    """
    if not table.target.exclusive:
        raise DataError(f"Expected no data.split.shots where the targets are no classes but {table.kind}.")
    if shots < 1:
        raise DataError(f"Expected data.split.shots to be at least 1 but got {shots}.")
    drawn = []
    for label, name in enumerate(table.class_names):
        own = rows[table.targets[rows] == label]
        if len(own) < shots:
            raise DataError(
                f"Expected at least {shots} {table.what} of '{name}' in train for data.split.shots but got {len(own)}."
            )
        drawn.append(np.random.default_rng([seed, label]).permutation(own)[:shots])
    return np.concatenate(drawn)

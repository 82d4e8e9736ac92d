"""Hold out a given number of images: at random, stratified, or by whole groups."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tunesmith.data.split.strata import composition, strata
from tunesmith.data.table import Ints, Table
from tunesmith.errors import DataError

By = Literal["random", "stratified", "group"]

TRIES = 100
"""Random orders of the groups to try; the one closest to the requested sizes is used."""


def hold_out(table: Table, rows: Ints, name: str, count: int, by: By, seed: int) -> tuple[Ints, Ints]:
    """Split ``rows`` in two.

    Args:
        table: Table with the rows' targets and groups.
        rows: Rows to split.
        name: Name of the held-out part, for messages.
        count: Number of images to hold out; by group, as close to it as whole groups allow.
        by: Rule.
        seed: Seed of the draw.

    Returns:
        The remaining rows and the held-out rows.

    Raises:
        DataError: There are too few images or groups.
    """
    if not 0 < count < len(rows):
        raise DataError(
            f"Expected between 1 and {len(rows) - 1} {table.what} for {name} but split.{name} asks for {count}; "
            f"change data.split, or add {table.what}."
        )
    if by == "group":
        return _hold_out_groups(table, rows, name, count, seed)
    from sklearn.model_selection import train_test_split  # takes 1.6 s to import

    labels = strata(table, rows, min(count, len(rows) - count)) if by == "stratified" else None
    if labels is not None and table.target.exclusive:
        _check_stratifiable(table, labels, name, count)
    rest, held = train_test_split(rows, test_size=count, stratify=labels, random_state=seed)
    return rest, held


def groups_of(table: Table) -> Ints:
    """Return the groups.

    Raises:
        DataError: The table has none.
    """
    if table.groups is None:
        raise DataError("Expected the data to have groups but they have none; use data.split.by=stratified.")
    return table.groups


def _check_stratifiable(table: Table, labels: Ints, name: str, count: int) -> None:
    sizes = np.bincount(labels, minlength=len(table.class_names))
    scarce = int(sizes.argmin())
    if sizes[scarce] < 2:
        raise DataError(
            f"Expected at least two {table.what} of every class to take {name} from but got {sizes[scarce]} of class "
            f"'{table.class_names[scarce]}'; add {table.what}, leave the class out, or use data.split.by=random."
        )
    if min(count, len(labels) - count) < len(sizes):
        raise DataError(
            f"Expected {name} and the rest to hold one image of each of the {len(sizes)} classes but {name} "
            f"gets {count} of {len(labels)}; change data.split.{name}, or use data.split.by=random."
        )


def _hold_out_groups(table: Table, rows: Ints, name: str, count: int, seed: int) -> tuple[Ints, Ints]:
    names, group = np.unique(groups_of(table)[rows], return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"Expected at least two groups to take {name} from but got {len(names)}; "
            f"use data.split.{name}=0 or data.split.by=stratified."
        )
    # Random search: cut each order of the groups at the requested size, and keep the cut whose class counts (or labels,
    # or strata) are closest to the requested proportions, by the sum of absolute differences.
    of_rows = composition(table, rows)
    classes, images = np.zeros((len(names), of_rows.shape[1])), np.bincount(group)
    np.add.at(classes, group, of_rows)
    wanted = classes.sum(0) * count / len(rows)
    rng = np.random.default_rng(seed)
    best, chosen = np.inf, names[:0]
    for _ in range(TRIES):
        order = rng.permutation(len(names))
        sizes = images[order].cumsum()
        cut = int(np.abs(sizes[:-1] - count).argmin()) + 1
        distance = float(np.abs(classes[order[:cut]].sum(0) - wanted).sum())
        if distance < best:
            best, chosen = distance, order[:cut]
    held = np.isin(group, chosen)
    return rows[~held], rows[held]

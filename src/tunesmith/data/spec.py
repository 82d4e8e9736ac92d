"""What a data module says of its data once they are split: the `DataSpec`, and the number of samples."""

from __future__ import annotations

import logging

import numpy as np

from tunesmith.contract.spec import DataSpec
from tunesmith.data.fingerprint import digest_members
from tunesmith.data.table import Ints, Table
from tunesmith.errors import DataError
from tunesmith.modality import base as modalities

log = logging.getLogger(__name__)

SAMPLES = "samples"
"""What `counts` calls the number of samples where there are no classes, labels or tags to count."""


def data_spec(table: Table, indices: dict[str, Ints], fingerprint: str, split_unit: str) -> DataSpec:
    """Describe the data; what a loss or a task may use of the numbers is of train alone.

    Raises:
        DataError: A value is the same for all of train, or every weight is 0.
    """
    rows = indices["train"]
    targets = table.targets_of(rows)
    mean, std = table.target.moments(targets, table.class_names, table.what)
    counts = table.target.counts(targets, table.class_names)
    weight = 1.0 if table.weights is None else float(table.weights[rows].mean(dtype=np.float64))
    if not weight:
        raise DataError(
            f"Expected {table.what} of train with a weight above 0 but all have weight 0, so nothing would be learnt; "
            "mend the column, or leave the weights out with data.weight=null."
        )
    return DataSpec(
        class_names=table.class_names,
        channels=modalities.of(table.modality).channels(table.channels),
        fingerprint=fingerprint,
        split_unit=split_unit,
        group=table.group_unit,
        target=table.kind,
        input=table.modality,
        train_counts=() if counts is None else tuple(counts.tolist()),
        train_size=len(rows),
        mean_weight=weight,
        target_mean=mean,
        target_std=std,
    )


def count(table: Table, rows: Ints) -> dict[str, int]:
    """Number of samples by class, by label (a sample may have several, or none), of words by tag; or of ``samples``."""
    counts = table.target.counts(table.targets_of(rows), table.class_names)
    return {SAMPLES: len(rows)} if counts is None else dict(zip(table.class_names, counts.tolist(), strict=True))


def warn(table: Table, indices: dict[str, Ints], duplicates: list[tuple[int, int]], twins: Ints) -> None:
    """Say what makes the split doubtful: copies across splits, contradictory labels, classes that a split lacks."""
    warn_of_duplicates(table, duplicates)
    warn_of_contradictions(table, twins)
    warn_of_gaps(table, indices)


def warn_of_duplicates(table: Table, duplicates: list[tuple[int, int]]) -> None:
    """Say that samples of one content stand in two splits; they are given as pairs of rows."""
    if duplicates:
        one, other = (table.names[row] for row in duplicates[0])
        log.warning(
            f"{len(duplicates)} {table.what} stand in two splits, such as {one} and {other}: "
            "their content is the same, so the test is easier than the world is."
        )


def members(table: Table, indices: dict[str, Ints]) -> dict[str, str]:
    """Digest of the samples' names by split: equal where two runs have split alike."""
    return {split: digest_members(table, rows) for split, rows in indices.items()}


def warn_of_contradictions(table: Table, twins: Ints) -> None:
    """Say that samples of one content have several labels; ``tunesmith check`` lists images among them.

    Args:
        table: The samples.
        twins: Rows of one content; see `fingerprint.twins`.
    """
    found = [(first, row) for row, first in twins.tolist() if table.contradict(first, row)]
    if found:
        one, other = (table.names[row] for row in found[0])
        log.warning(
            f"{len(found)} {table.what} have the content of another and a different label, such as {one} and {other}"
            f"{modalities.of(table.modality).listed}."
        )


def warn_of_gaps(table: Table, indices: dict[str, Ints]) -> None:
    """Say which classes or labels a split other than train lacks: no score of that split can speak of them."""
    for split, rows in indices.items():
        absent = [name for name, number in count(table, rows).items() if not number]
        if absent and len(rows) > 1:  # one image is what leave-one-out tests
            log.warning(
                f"Split {split} has no {table.what[:-1]} of {table.target.unit} {', '.join(absent)}: its metrics say "
                "nothing about that."
            )

"""Describe split data: the `DataSpec`, the numbers of samples, and warnings."""

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
"""Key of the number of samples, if there are no classes, labels or tags to count."""


def data_spec(table: Table, indices: dict[str, Ints], fingerprint: str, split_unit: str) -> DataSpec:
    """Describe the data, with statistics of train only.

    Raises:
        DataError: A value is constant in train, or every weight is 0.
    """
    rows = indices["train"]
    targets = table.targets_of(rows)
    mean, std = table.target.moments(targets, table.class_names, table.what)
    counts = table.target.counts(targets, table.class_names)
    weight = 1.0 if table.weights is None else float(table.weights[rows].mean(dtype=np.float64))
    if not weight:
        raise DataError(
            f"Expected {table.what} of train with a weight above 0 but all have weight 0, so nothing would be learnt; "
            "fix the column, or ignore the weights with data.weight=null."
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
    """Count samples by class or label (a sample may have several, or none), words by tag, or else ``samples``."""
    counts = table.target.counts(table.targets_of(rows), table.class_names)
    return {SAMPLES: len(rows)} if counts is None else dict(zip(table.class_names, counts.tolist(), strict=True))


def warn(table: Table, indices: dict[str, Ints], duplicates: list[tuple[int, int]], twins: Ints) -> None:
    """Warn of doubtful splits: duplicates across splits, contradictory labels, classes that a split lacks."""
    warn_of_duplicates(table, duplicates)
    warn_of_contradictions(table, twins)
    warn_of_gaps(table, indices)


def warn_of_duplicates(table: Table, duplicates: list[tuple[int, int]]) -> None:
    """Warn of samples with the same content in two splits, given as pairs of rows."""
    if duplicates:
        one, other = (table.names[row] for row in duplicates[0])
        log.warning(
            f"{len(duplicates)} {table.what} occur in two splits, such as {one} and {other}, whose content is equal: "
            "test accuracy will be optimistic."
        )


def members(table: Table, indices: dict[str, Ints]) -> dict[str, str]:
    """Digest the samples' names by split; equal for two runs with the same split."""
    return {split: digest_members(table, rows) for split, rows in indices.items()}


def warn_of_contradictions(table: Table, twins: Ints) -> None:
    """Warn of samples with the same content but different labels; ``tunesmith check`` lists such images.

    Args:
        table: The samples.
        twins: Rows of equal content; see `fingerprint.twins`.
    """
    found = [(first, row) for row, first in twins.tolist() if table.contradict(first, row)]
    if found:
        one, other = (table.names[row] for row in found[0])
        log.warning(
            f"{len(found)} {table.what} have the content of another and a different label, such as {one} and {other}"
            f"{modalities.of(table.modality).listed}."
        )


def warn_of_gaps(table: Table, indices: dict[str, Ints]) -> None:
    """Warn of classes or labels that a split other than train lacks, and its metrics therefore do not cover."""
    for split, rows in indices.items():
        absent = [name for name, number in count(table, rows).items() if not number]
        if absent and len(rows) > 1:  # leave-one-out tests a single image
            log.warning(
                f"Split {split} has no {table.what[:-1]} of {table.target.unit} {', '.join(absent)}: its metrics say "
                "nothing about that."
            )

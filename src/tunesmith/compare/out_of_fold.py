"""Pool the predictions of all folds: each sample is predicted once, by a model that did not train on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tunesmith.compare.group import Group
from tunesmith.compare.runs import Recorded
from tunesmith.errors import RunError
from tunesmith.target.base import of


def with_out_of_fold(group: Group) -> tuple[Group, str]:
    """Compute metrics over the samples of all folds, for a group whose runs are folds.

    Several cross-validations, one per run seed and split seed, are averaged.

    Returns:
        The group, and why it has no such metrics; empty if it has them, or if its runs are not folds.
    """
    sets: dict[tuple[str, str | None], list[Recorded]] = {}
    for run in group.runs:
        if run.replicate.fold is not None:
            sets.setdefault((run.replicate.seed, run.replicate.split_seed), []).append(run)
    if not sets:
        return group, ""
    try:
        found = [_pooled(runs) for runs in sets.values()]
    except RunError as error:
        return group, f"{group.label}: no out-of-fold metrics. {error}"
    means = {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}
    return replace(group, out_of_fold=means), ""


def _pooled(runs: Sequence[Recorded]) -> dict[str, float]:
    """Compute the metrics of the predictions of one cross-validation.

    Raises:
        RunError: A fold or its predictions are missing, or a sample is tested in two folds.
    """
    samples = sum(sum(split.values()) for split in runs[0].data["splits"].values())
    table = pa.concat_tables([_predictions(run) for run in runs])
    names = table["file"].to_numpy()
    if len(np.unique(names)) < len(names):
        raise RunError("Expected each sample in one fold but some are tested in several.")
    if len(names) < samples:
        raise RunError(f"Expected all folds but the {len(runs)} there are test {len(names)} of {samples} samples.")
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return of(runs[0].data["target"]).pooled(columns, runs[0].data["class_names"])


def _predictions(run: Recorded) -> pa.Table:
    columns = of(run.data["target"]).pooled_columns(run.data["class_names"])
    if columns is None:
        raise RunError("Expected classes or values; other targets are not put together.")
    return read_columns(run.folder, ["file", *columns])


def read_columns(folder: Path, columns: Sequence[str]) -> pa.Table:
    """Read columns of a run's predictions.

    Raises:
        RunError: The file or a column is missing.
    """
    try:
        return pyarrow.parquet.read_table(folder / "predictions.parquet", columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"Expected {folder.name} to have its predictions.parquet but got: {error}.") from error

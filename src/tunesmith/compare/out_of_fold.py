"""Pool the predictions of all folds: each sample is predicted once, by a model that did not train on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tunesmith.compare.group import Group
from tunesmith.compare.runs import Recorded
from tunesmith.errors import RunError

CLASSES = ("class", "ordinal")


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
    return _METRICS[runs[0].data["target"]](table, runs[0].data["class_names"])


def _predictions(run: Recorded) -> pa.Table:
    names, kind = run.data["class_names"], run.data["target"]
    if kind not in _METRICS:
        raise RunError("Expected classes or values; other targets are not put together.")
    columns = ["target", "label"] if kind in CLASSES else [f"target_{n}" for n in names] + list(names)
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


def _classes(table: pa.Table, names: Sequence[str]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score  # takes seconds to import

    truth, said = (table[column].to_numpy() for column in ("target", "label"))
    return {
        "accuracy": float(accuracy_score(truth, said)),
        "macro_f1": float(f1_score(truth, said, labels=list(names), average="macro", zero_division=0)),
    }


def _values(table: pa.Table, names: Sequence[str]) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    truth, said = (
        np.stack([table[f"{prefix}{name}"].to_numpy() for name in names], axis=1) for prefix in ("target_", "")
    )
    return {
        "mae": float(mean_absolute_error(truth, said)),
        "rmse": float(root_mean_squared_error(truth, said)),
        "r2": float(r2_score(truth, said)),
    }


_METRICS: Mapping[str, Callable[[pa.Table, Sequence[str]], dict[str, float]]] = {
    "class": _classes,
    "ordinal": _classes,
    "value": _values,
}

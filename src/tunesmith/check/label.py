"""Check labels: contradictions between copies, rare classes, groups in two splits, and suspected label errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tunesmith.check.finding import Finding, Item
from tunesmith.data.spec import count
from tunesmith.data.table import Ints, Table
from tunesmith.errors import DataError, MissingExtraError

FEW = 10
"""Images per class below which its scores cannot be trusted."""


def findings(table: Table, indices: dict[str, Ints], alike: Sequence[tuple[int, ...]]) -> Iterator[Finding]:
    """Yield the findings about labels, classes and groups."""
    contradictions = tuple(
        Item(rows, " against ".join(dict.fromkeys(said(table, row) for row in rows)))
        for rows in alike
        if any(table.contradict(row, rows[0]) for row in rows)
    )
    if contradictions:
        text = "The same image has several labels: one of them is wrong."
        yield Finding("contradictory labels", "error", text, contradictions)
    rare = tuple(_rare(table))
    if rare:
        yield Finding("rare classes", "warning", f"No score of fewer than {FEW} images can be trusted.", rare)
    leaking = tuple(_leaking(table, indices))
    if leaking:
        text = f"A {table.group_unit or 'group'} stands in two splits: use data.split.by=group."
        yield Finding("groups in two splits", "note" if table.guessed else "warning", text, leaking)


def _rare(table: Table) -> Iterator[Item]:
    of = table.target.occurrences(table.targets, table.class_names)
    if of is None:
        return
    for number, name in enumerate(table.class_names):
        rows = np.flatnonzero(of[:, number])
        if len(rows) < FEW:
            yield Item(tuple(rows.tolist()), f"{len(rows)} of {name}")


def _leaking(table: Table, indices: dict[str, Ints]) -> Iterator[Item]:
    if table.groups is None:
        return
    for group in np.unique(table.groups):
        rows = np.flatnonzero(table.groups == group)
        splits = [name for name, of_split in indices.items() if np.isin(rows, of_split).any()]
        if len(splits) > 1:
            yield Item(tuple(rows.tolist()), f"in {' and '.join(splits)}")


def said(table: Table, row: int) -> str:
    """Return the label of a row as text."""
    return table.target.in_words(table.targets[row], table.class_names) or "no label"


def balance(table: Table, indices: dict[str, Ints]) -> list[tuple[str, ...]]:
    """Count images per class and split: a header, then one row per class."""
    counts = [count(table, rows) for rows in indices.values()]
    return [("class", *indices), *((name, *(str(c[name]) for c in counts)) for name in counts[0])]


def suspected(table: Table, folders: Sequence[Path]) -> Finding | None:
    """Find labels that out-of-fold predictions contradict, the most doubtful first.

    Uses confident learning (Northcutt et al. 2021), as implemented by ``cleanlab``.

    Args:
        table: Table with class labels.
        folders: Run folders; together they predict each sample at most once, by a model that did not train on it.

    Raises:
        DataError: The targets are not classes, or the predictions do not belong to these data.
        MissingExtraError: cleanlab is not installed.
    """
    if not table.target.exclusive:
        raise DataError(f"Expected classes to look for wrong labels but got targets of kind {table.kind}.")
    try:
        from cleanlab.filter import find_label_issues  # takes seconds to import
    except ImportError as error:
        raise MissingExtraError("cleanlab", "check") from error
    rows, probabilities = _predicted(table, folders)
    # cleanlab's worker processes rely on the fork start method, hence one job.
    order = find_label_issues(table.targets[rows], probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    items = tuple(
        Item(
            (int(rows[i]),),
            f"labelled {said(table, rows[i])} ({probabilities[i, table.targets[rows[i]]]:.0%}), "
            f"looks like {table.class_names[int(probabilities[i].argmax())]} ({probabilities[i].max():.0%})",
        )
        for i in order
    )
    text = "Models that did not see them disagree with their labels: look at them."
    return Finding("suspected labels", "warning", text, items) if items else None


def _predicted(table: Table, folders: Sequence[Path]) -> tuple[Ints, np.ndarray]:
    """Return the predicted rows of the table, and their probabilities ``(N, K)``."""
    columns = [f"p_{name}" for name in table.class_names]
    try:
        parts = [pyarrow.parquet.read_table(f / "predictions.parquet", columns=["file", *columns]) for f in folders]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"Expected runs on these classes, with predictions.parquet, but got: {error}.") from error
    found = pa.concat_tables(parts)
    row = {name: i for i, name in enumerate(table.names.tolist())}
    names = found["file"].to_pylist()
    unknown = [name for name in names if name not in row]
    if unknown or len(set(names)) < len(names):
        what = f"{len(unknown)} of others, such as {unknown[0]}" if unknown else "an image predicted twice"
        raise DataError(f"Expected predictions of these images, each by one run (data.split.fold), but got {what}.")
    probabilities = np.stack([found[column].to_numpy() for column in columns], axis=1).astype(np.float64)
    return np.array([row[name] for name in names]), probabilities / probabilities.sum(1, keepdims=True)

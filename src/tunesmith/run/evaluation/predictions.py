"""What a model said of the samples of a split, as a table a sample and as a table a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import multilabel_average_precision

from tunesmith.atomic import atomic
from tunesmith.contract.spec import Target


@dataclass(frozen=True)
class Predictions:
    """Predictions of the samples of one split.

    Attributes:
        files: What each sample is called ``(N,)``.
        values: Probabilities or, where ``kind`` is value, the values predicted ``(N, K)``.
        labels: What each sample is said to be: class index ``(N,)``, labels 0 or 1 ``(N, K)``, or the values.
        class_names: One a class, label or value ``(K,)``.
        targets: The truth, as ``labels``; ``None`` where it is not known.
        kind: Of the target, as `DataSpec` has it.
        skipped: Files that nothing is said of, by the row of the saved table that is theirs.
        column: What the first column of the saved table is called.
    """

    files: list[str]
    values: NDArray[np.float32]
    labels: NDArray[Any]
    class_names: tuple[str, ...]
    targets: NDArray[Any] | None = None
    kind: Target = "class"
    skipped: Mapping[int, str] = field(default_factory=dict)
    column: Literal["file", "text"] = "file"

    def table(self) -> pa.Table:
        """One row a sample, beginning with its ``file`` or ``text``; other cells of a skipped file are empty.

        Classes: ``target`` where known, ``label`` (the class predicted), ``p_<class>`` for each; in an order also
        ``level``, the mean level by the probabilities, counted from 0. Labels: ``target_<label>`` (0 or 1) where known,
        ``label`` (those given, joined by commas), ``p_<label>`` for each. Values: ``target_<value>`` where known,
        ``<value>``; one that is called ``file`` or as a column of the truth stands as ``predicted_<value>``.
        """
        table = pa.table({self.column: self.files, **self._truth(), **self._said()})
        if not self.skipped:
            return table
        number = iter(range(len(self.files)))
        rows = [None if i in self.skipped else next(number) for i in range(len(self.files) + len(self.skipped))]
        table = table.take(pa.array(rows, pa.int64()))
        return table.set_column(
            0, "file", [[self.skipped[i] if r is None else self.files[r] for i, r in enumerate(rows)]]
        )

    def _truth(self) -> dict[str, Any]:
        if self.targets is None:
            return {}
        if self.targets.ndim == 1:
            return {"target": np.array(self.class_names, dtype=object)[self.targets]}
        return {f"target_{name}": self.targets[:, i] for i, name in enumerate(self.class_names)}

    def _said(self) -> dict[str, Any]:
        columns = dict(zip(self.class_names, self.values.T, strict=True))
        if self.kind == "value":
            taken = {self.column, *(f"target_{name}" for name in self.class_names)}
            return {f"predicted_{name}" if name in taken else name: column for name, column in columns.items()}
        said: dict[str, Any] = {"label": [self._words(self.labels, i) for i in range(len(self.files))]}
        if self.kind == "ordinal":
            said["level"] = self.values @ np.arange(len(self.class_names), dtype=np.float32)
        return said | {f"p_{name}": column for name, column in columns.items()}

    def _words(self, found: NDArray[Any], i: int) -> str:
        if self.kind == "value":
            return ", ".join(f"{name} {value:.4g}" for name, value in zip(self.class_names, found[i], strict=True))
        return ", ".join(self.class_names[k] for k in (found[i].nonzero()[0] if found.ndim == 2 else [found[i]]))

    def caption(self, i: int) -> str:
        """What a sample is called, said to be and, in truth, is."""
        assert self.targets is not None
        said, truth = (self._words(found, i) or "nothing" for found in (self.labels, self.targets))
        sure = "" if self.labels.ndim == 2 else f" ({self.values[i, self.labels[i]]:.0%})"
        return f"{self.files[i]}: {said}{sure}, in truth {truth}"

    def save(self, path: Path) -> None:
        """Write the table: see `save`."""
        save(self.table(), path)

    def by_class(self) -> pd.DataFrame:
        """One row a class, label or value.

        Classes: ``precision``, ``recall``, ``f1`` (0 where nothing could be right) and ``support``, the samples that
        are of it; labels also ``average_precision``. Values: ``mae``, ``rmse``, ``r2`` and ``support``.
        """
        assert self.targets is not None
        if self.kind == "value":
            return self._by_value(self.targets)
        each = np.arange(len(self.class_names))
        truth, said = (x.astype(bool) if x.ndim == 2 else x[:, None] == each for x in (self.targets, self.labels))
        right, support = (truth & said).sum(axis=0), truth.sum(axis=0)
        columns = {
            "class" if self.kind != "multilabel" else "label": self.class_names,
            "precision": right / np.maximum(said.sum(axis=0), 1),
            "recall": right / np.maximum(support, 1),
            "f1": 2 * right / np.maximum(said.sum(axis=0) + support, 1),
        }
        if self.kind == "multilabel":
            scores, labels = torch.tensor(self.values), torch.tensor(self.targets)
            columns["average_precision"] = multilabel_average_precision(scores, labels, len(each), average=None).numpy()
        return pd.DataFrame(columns | {"support": support})

    def _by_value(self, targets: NDArray[Any]) -> pd.DataFrame:
        error, spread = self.values - targets, targets - targets.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # R² of one sample, or of equal ones, is no number
            r2 = 1 - (error**2).sum(axis=0) / (spread**2).sum(axis=0)
        columns = {
            "value": self.class_names,
            "mae": np.abs(error).mean(axis=0),
            "rmse": np.sqrt((error**2).mean(axis=0)),
            "r2": r2,
        }
        return pd.DataFrame(columns | {"support": len(error)})

    def wrongness(self) -> NDArray[np.float64]:
        """How wrong each sample is ``(N,)``, 0 where it is right.

        The probability of the class that was said; for classes in an order, that and the levels it is off; the number
        of wrong labels and, of as many, how sure they were; the largest error of a value, in its standard deviations.
        """
        assert self.targets is not None
        if self.kind == "value":
            return np.asarray((np.abs(self.values - self.targets) / np.maximum(self.targets.std(axis=0), 1e-12)).max(1))
        if self.kind == "multilabel":
            wrong = self.labels != self.targets
            sure = (np.abs(self.values - self.targets) * wrong).sum(axis=1) / max(1, len(self.class_names))
            return np.asarray(wrong.sum(axis=1) + sure)
        sure = self.values[np.arange(len(self.files)), self.labels]
        off = np.abs(self.labels - self.targets) if self.kind == "ordinal" else self.labels != self.targets
        return np.asarray(np.where(off > 0, off + sure, 0))


@dataclass(frozen=True)
class Sequences:
    """What was said of the samples of one split, or of what is predicted; `Predictions` is of one thing a sample.

    Attributes:
        files: What each sample is called ``(N,)``, or the text itself.
        said: What is said of each, in words.
        kind: Of the target, as `DataSpec` has it.
        class_names: As `DataSpec` has them.
        targets: The truth, likewise in words; ``None`` where it is not known.
        wrong: How wrong each is ``(N,)``, 0 where it is right; empty where the truth is not known.
        classes: A row a class: its name, ``precision``, ``recall``, ``f1`` and ``support``; empty where there are none.
        rows: The saved table, where that has another form than a row a sample.
        summary: What people are shown of a prediction, a line each.
        column: What the first column of the saved table is called.
        places: In the split, of each sample, where the split has several for some of them; empty where it has not.
    """

    files: list[str]
    said: list[str]
    kind: Target
    class_names: tuple[str, ...] = ()
    targets: list[str] | None = None
    wrong: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    classes: pd.DataFrame = field(default_factory=pd.DataFrame)
    rows: pa.Table | None = None
    summary: list[str] = field(default_factory=list)
    column: Literal["file", "text"] = "file"
    places: list[int] = field(default_factory=list)

    def table(self) -> pa.Table:
        """One row a sample: its ``file`` or ``text``, ``target`` where known and ``label``; or what ``rows`` holds."""
        if self.rows is not None:
            return self.rows
        truth = {} if self.targets is None else {"target": self.targets}
        return pa.table({self.column: self.files, **truth, "label": self.said})

    def save(self, path: Path) -> None:
        """Write the table: see `predictions.save`."""
        save(self.table(), path)

    def caption(self, i: int) -> str:
        """What a sample is called, what was said of it and what, in truth, is."""
        assert self.targets is not None
        return f"{self.files[i]}: {self.said[i] or 'nothing'}, in truth {self.targets[i] or 'nothing'}"

    def by_class(self) -> pd.DataFrame:
        """One row a class; none where there are no classes."""
        return self.classes

    def wrongness(self) -> NDArray[np.float64]:
        """How wrong each sample is ``(N,)``, 0 where it is right."""
        return self.wrong


def save(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet or, where the name ends so, as CSV."""
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            pyarrow.parquet.write_table(table, temporary)

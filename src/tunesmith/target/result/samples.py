"""Predictions of one thing per sample: a class, labels or values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.target.result.predictions import Answers, Drawings, save


class SampleKind(Protocol):
    """What a kind of target with one thing per sample says of its predictions."""

    @property
    def least_rows(self) -> int:
        """See `Predictions.least_rows`."""
        ...

    def in_words(self, target: Any, names: tuple[str, ...]) -> str:
        """What one sample is, for people; empty for nothing."""
        ...

    def columns(self, found: SamplePredictions) -> dict[str, Any]:
        """Columns of what is said."""
        ...

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """How sure the model is of a sample, behind a blank; empty where it does not say."""
        ...

    def by_class(self, found: SamplePredictions) -> pd.DataFrame:
        """See `Predictions.by_class`."""
        ...

    def wrongness(self, found: SamplePredictions) -> NDArray[np.float64]:
        """See `Predictions.wrongness`."""
        ...

    def summary(self, found: SamplePredictions) -> list[str]:
        """See `Predictions.summary`."""
        ...

    def drawings(self, found: SamplePredictions) -> Drawings:
        """See `Predictions.drawings`."""
        ...

    def charts(self, found: SamplePredictions, plot: Any, table: Any) -> dict[str, Any]:
        """See `Predictions.charts`."""
        ...


@final
@dataclass(frozen=True)
class SamplePredictions:
    """Predictions of one thing per sample.

    Attributes:
        files: What each sample is called ``(N,)``.
        values: Probabilities, or the values predicted ``(N, K)``.
        labels: What each sample is said to be: class index ``(N,)``, labels 0 or 1 ``(N, K)``, or the values.
        class_names: One per class, label or value ``(K,)``.
        kind: The kind of target.
        targets: The truth, as ``labels``; ``None`` where it is not known.
        skipped: Files that nothing is said of, by the row of the saved table that is theirs.
        column: What the first column of the saved table is called.
    """

    files: list[str]
    values: NDArray[np.float32]
    labels: NDArray[Any]
    class_names: tuple[str, ...]
    kind: SampleKind
    targets: NDArray[Any] | None = None
    skipped: Mapping[int, str] = field(default_factory=dict)
    column: str = "file"

    @property
    def least_rows(self) -> int:
        """See `Predictions.least_rows`."""
        return self.kind.least_rows

    def table(self) -> pa.Table:
        """One row per sample: its ``file`` or ``text``, the truth, what is said; only the first of a skipped file.

        The truth, where known, is ``target``, a class, or ``target_<name>`` for each label or value.
        """
        table = pa.table({self.column: self.files, **self._truth(), **self.kind.columns(self)})
        if not self.skipped:
            return table
        number = iter(range(len(self.files)))
        rows = [None if i in self.skipped else next(number) for i in range(len(self.files) + len(self.skipped))]
        table = table.take(pa.array(rows, pa.int64()))
        names = [self.skipped[i] if r is None else self.files[r] for i, r in enumerate(rows)]
        return table.set_column(0, self.column, [names])

    def _truth(self) -> dict[str, Any]:
        if self.targets is None:
            return {}
        if self.targets.ndim == 1:
            return {"target": np.array(self.class_names, dtype=object)[self.targets]}
        return {f"target_{name}": self.targets[:, i] for i, name in enumerate(self.class_names)}

    def save(self, path: Path) -> None:
        """Write the table: see `save`."""
        save(self.table(), path)

    def caption(self, i: int) -> str:
        """What a sample is called, said to be and, in truth, is."""
        assert self.targets is not None
        said, truth = (self.kind.in_words(of[i], self.class_names) or "nothing" for of in (self.labels, self.targets))
        return f"{self.files[i]}: {said}{self.kind.sureness(self, i)}, in truth {truth}"

    def place(self, i: int) -> int:
        """Where a sample stands in the split."""
        return i

    def by_class(self) -> pd.DataFrame:
        """One row per class, label or value."""
        return self.kind.by_class(self)

    def wrongness(self) -> NDArray[np.float64]:
        """How wrong each sample is ``(N,)``, 0 where it is right."""
        return self.kind.wrongness(self)

    def summary(self) -> list[str]:
        """How often each class or label was predicted, or between what and what each value."""
        return self.kind.summary(self)

    def drawings(self) -> Drawings:
        """What draws each plot of a test."""
        return {} if self.targets is None else self.kind.drawings(self)

    def charts(self, plot: Any, table: Any) -> dict[str, Any]:
        """W&B's own charts of a test."""
        return self.kind.charts(self, plot, table)


def tested(kind: SampleKind, task: Answers, names: list[str], found: Mapping[str, Any]) -> SamplePredictions:
    """What a test said; see `tunesmith.target.base.Target.tested`."""
    said, truth = found["predictions"], found["target"].numpy()
    return SamplePredictions(names, said.numpy(), task.labels(said).numpy(), task.spec.class_names, kind, truth)


def predicted(kind: SampleKind, task: Answers, asked: Asked, found: Mapping[str, Any]) -> SamplePredictions:
    """What a prediction said; see `tunesmith.target.base.Target.predicted`."""
    said = found["predictions"]
    return SamplePredictions(
        asked.names,
        said.numpy(),
        task.labels(said).numpy(),
        task.spec.class_names,
        kind,
        skipped={i: name for i, (name, _) in asked.skipped.items()},
        column=asked.column,
    )

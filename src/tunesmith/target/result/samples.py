"""Hold predictions of one class, set of labels or row of values per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol, final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.target.result.predictions import Answers, Charts, Drawings, save, tensor
from tunesmith.target.table.strata import Numbers


class SampleKind(Protocol):
    """The part of a kind of target that predictions per sample need."""

    @property
    def least_rows(self) -> int:
        """See `Predictions.least_rows`."""
        ...

    def in_words(self, target: Numbers, names: tuple[str, ...]) -> str:
        """Describe a prediction; empty for no label."""
        ...

    def columns(self, found: SamplePredictions) -> dict[str, object]:
        """Return the columns of the predictions."""
        ...

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """Return the prediction's probability, after a space; empty for kinds without one."""
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

    def charts(self, found: SamplePredictions, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """See `Predictions.charts`."""
        ...


@final
@dataclass(frozen=True)
class SamplePredictions:
    """Predictions of one class, set of labels or row of values per sample.

    Attributes:
        files: Name of each sample ``(N,)``.
        values: Probabilities, or predicted values ``(N, K)``.
        labels: Predicted class indices ``(N,)``, labels 0 or 1 ``(N, K)``, or values ``(N, K)``.
        class_names: Names of the classes, labels or values ``(K,)``.
        kind: Kind of target.
        targets: True targets in the form of ``labels``; ``None`` if unknown.
        skipped: Names of skipped files by their row in the saved table.
        column: Name of the saved table's first column.
    """

    files: list[str]
    values: NDArray[np.float32]
    labels: Numbers
    class_names: tuple[str, ...]
    kind: SampleKind
    targets: Numbers | None = None
    skipped: Mapping[int, str] = field(default_factory=dict)
    column: str = "file"

    @property
    def least_rows(self) -> int:
        """See `Predictions.least_rows`."""
        return self.kind.least_rows

    def table(self) -> pa.Table:
        """Return one row per sample: name, truth and prediction; for a skipped file only the name.

        The truth, if known, is in ``target``, a class, or in ``target_<name>`` per label or value.
        """
        table = pa.table({self.column: self.files, **self._truth(), **self.kind.columns(self)})
        if not self.skipped:
            return table
        number = iter(range(len(self.files)))
        rows = [None if i in self.skipped else next(number) for i in range(len(self.files) + len(self.skipped))]
        table = table.take(pa.array(rows, pa.int64()))
        names = [self.skipped[i] if r is None else self.files[r] for i, r in enumerate(rows)]
        return table.set_column(0, self.column, [names])

    def _truth(self) -> dict[str, object]:
        if self.targets is None:
            return {}
        if self.targets.ndim == 1:
            return {"target": np.array(self.class_names, dtype=object)[self.targets.astype(np.int64)]}
        return {f"target_{name}": self.targets[:, i] for i, name in enumerate(self.class_names)}

    def save(self, path: Path) -> None:
        """Write the table; see `save`."""
        save(self.table(), path)

    def caption(self, i: int) -> str:
        """Return a sample's name, its prediction and the truth."""
        assert self.targets is not None
        said, truth = (self.kind.in_words(of[i], self.class_names) or "nothing" for of in (self.labels, self.targets))
        return f"{self.files[i]}: {said}{self.kind.sureness(self, i)}, true: {truth}"

    def place(self, i: int) -> int:
        """Return a sample's position in the split."""
        return i

    def by_class(self) -> pd.DataFrame:
        """Return one row per class, label or value."""
        return self.kind.by_class(self)

    def wrongness(self) -> NDArray[np.float64]:
        """Return how wrong each prediction is ``(N,)``, 0 if right."""
        return self.kind.wrongness(self)

    def summary(self) -> list[str]:
        """Return the count of each predicted class or label, or the range of each value."""
        return self.kind.summary(self)

    def drawings(self) -> Drawings:
        """Return the functions that draw the plots of a test."""
        return {} if self.targets is None else self.kind.drawings(self)

    def charts(self, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """Make W&B's charts of a test."""
        return self.kind.charts(self, plot, table)


def tested(kind: SampleKind, task: Answers, names: list[str], found: Mapping[str, object]) -> SamplePredictions:
    """Make predictions from a test; see `tunesmith.target.base.Target.tested`."""
    said, truth = tensor(found["predictions"]), tensor(found["target"]).numpy()
    return SamplePredictions(names, said.numpy(), task.labels(said).numpy(), task.spec.class_names, kind, truth)


def predicted(kind: SampleKind, task: Answers, asked: Asked, found: Mapping[str, object]) -> SamplePredictions:
    """Make predictions from ``tunesmith predict``; see `tunesmith.target.base.Target.predicted`."""
    said = tensor(found["predictions"])
    return SamplePredictions(
        asked.names,
        said.numpy(),
        task.labels(said).numpy(),
        task.spec.class_names,
        kind,
        skipped={i: name for i, (name, _) in asked.skipped.items()},
        column=asked.column,
    )

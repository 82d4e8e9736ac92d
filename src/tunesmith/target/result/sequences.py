"""Hold predictions of variable length per sample, such as a tag per word, or a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.target.result.predictions import Charts, Drawings, save

SHOWN = 5
"""Number of texts to print after a prediction."""


@final
@dataclass(frozen=True)
class Sequences:
    """Predictions of variable length per sample.

    Attributes:
        files: Name of each sample ``(N,)``, or the text itself.
        said: Predictions as text ``(N,)``.
        rows: Table to save.
        targets: True targets as text ``(N,)``; ``None`` if unknown.
        wrong: How wrong each prediction is ``(N,)``, 0 if right; empty if the truth is unknown.
        classes: One row per class: its name, ``precision``, ``recall``, ``f1`` and ``support``; empty without classes.
        lines: Lines to print after a prediction.
        column: Name of the saved table's first column.
        places: Position of each sample in the split ``(N,)`` if some samples fill several; empty otherwise.
    """

    files: list[str]
    said: list[str]
    rows: pa.Table
    targets: list[str] | None = None
    wrong: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    classes: pd.DataFrame = field(default_factory=pd.DataFrame)
    lines: Sequence[str] = ()
    column: str = "file"
    places: Sequence[int] = ()

    @property
    def least_rows(self) -> int:
        """See `Predictions.least_rows`."""
        return 1

    def table(self) -> pa.Table:
        """Return the table to save."""
        return self.rows

    def save(self, path: Path) -> None:
        """Write the table; see `save`."""
        save(self.rows, path)

    def caption(self, i: int) -> str:
        """Return a sample's name, its prediction and the truth."""
        assert self.targets is not None
        return f"{self.files[i]}: {self.said[i] or 'nothing'}, true: {self.targets[i] or 'nothing'}"

    def place(self, i: int) -> int:
        """Return a sample's position in the split."""
        return self.places[i] if self.places else i

    def by_class(self) -> pd.DataFrame:
        """Return one row per class; empty without classes."""
        return self.classes

    def wrongness(self) -> NDArray[np.float64]:
        """Return how wrong each prediction is ``(N,)``, 0 if right."""
        return self.wrong

    def summary(self) -> list[str]:
        """Return the lines to print after a prediction."""
        return list(self.lines)

    def drawings(self) -> Drawings:
        """Return no plots."""
        return {}

    def charts(self, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """Make W&B's chart of the F1 per class, if there are classes."""
        rows = self.classes
        return {"f1": plot.bar(table(dataframe=rows), rows.columns[0], "f1", title="f1")} if len(rows) else {}


def written(asked: Asked, texts: list[str]) -> Sequences:
    """Make predictions of generated texts: one row per input, with the text written."""
    rows = pa.table({asked.column: asked.names, "written": texts})
    return Sequences(asked.names, texts, rows, lines=texts[:SHOWN], column=asked.column)

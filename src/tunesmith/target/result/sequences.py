"""Predictions of any number of things per sample, such as a tag for each word, or a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.target.result.predictions import Drawings, save

SHOWN = 5
"""Texts that people are shown of a prediction."""


@final
@dataclass(frozen=True)
class Sequences:
    """Predictions of any number of things per sample.

    Attributes:
        files: What each sample is called ``(N,)``, or the text itself.
        said: What is said of each, in words.
        rows: The saved table.
        targets: The truth, likewise in words; ``None`` where it is not known.
        wrong: How wrong each is ``(N,)``, 0 where it is right; empty where the truth is not known.
        classes: A row per class: its name, ``precision``, ``recall``, ``f1`` and ``support``; empty where there are
            none.
        lines: What people are shown of a prediction, a line each.
        column: What the first column of the saved table is called.
        places: In the split, of each sample, where the split has several for some of them; empty where it has not.
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
        """The saved table."""
        return self.rows

    def save(self, path: Path) -> None:
        """Write the table: see `save`."""
        save(self.rows, path)

    def caption(self, i: int) -> str:
        """What a sample is called, what was said of it and what, in truth, is."""
        assert self.targets is not None
        return f"{self.files[i]}: {self.said[i] or 'nothing'}, in truth {self.targets[i] or 'nothing'}"

    def place(self, i: int) -> int:
        """Where a sample stands in the split."""
        return self.places[i] if self.places else i

    def by_class(self) -> pd.DataFrame:
        """One row per class; none where there are no classes."""
        return self.classes

    def wrongness(self) -> NDArray[np.float64]:
        """How wrong each sample is ``(N,)``, 0 where it is right."""
        return self.wrong

    def summary(self) -> list[str]:
        """What people are shown of a prediction, a line each."""
        return list(self.lines)

    def drawings(self) -> Drawings:
        """None."""
        return {}

    def charts(self, plot: Any, table: Any) -> dict[str, Any]:
        """The F1 of each class, where there are any."""
        rows = self.classes
        return {"f1": plot.bar(table(dataframe=rows), rows.columns[0], "f1", title="f1")} if len(rows) else {}


def written(asked: Asked, texts: list[str]) -> Sequences:
    """A prediction with a row per text: what it was, and what was written."""
    rows = pa.table({asked.column: asked.names, "written": texts})
    return Sequences(asked.names, texts, rows, lines=texts[:SHOWN], column=asked.column)

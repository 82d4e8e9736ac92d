"""What a model said of the samples of a split, whatever the kind of target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from tunesmith.atomic import atomic
from tunesmith.contract.spec import DataSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

Drawings = Mapping[str, Callable[[], "Figure"]]
"""What draws each plot, by its name."""


class Answers(Protocol):
    """What a result needs of a task."""

    @property
    def spec(self) -> DataSpec:
        """What the data are."""
        ...

    @property
    def scheme(self) -> str | None:
        """How tags say where an entity begins; ``None`` where none is of entities."""
        ...

    def labels(self, predictions: Tensor) -> Tensor:
        """Turn predictions into what a sample is said to be."""
        ...


class Predictions(Protocol):
    """What was said of the samples of one split, or of what is predicted, whatever the kind of target."""

    @property
    def files(self) -> list[str]:
        """What each sample is called ``(N,)``, or the text itself."""
        ...

    @property
    def targets(self) -> Any:
        """The truth; ``None`` where it is not known."""
        ...

    @property
    def column(self) -> str:
        """What the first column of the saved table is called."""
        ...

    @property
    def least_rows(self) -> int:
        """Fewest rows of `by_class` that say more than the metrics do."""
        ...

    def table(self) -> pa.Table:
        """The saved table."""
        ...

    def save(self, path: Path) -> None:
        """Write the table: see `save`."""
        ...

    def by_class(self) -> pd.DataFrame:
        """One row per class, label, value or type of entity, its name first; none where there are no such things."""
        ...

    def wrongness(self) -> NDArray[np.float64]:
        """How wrong each sample is ``(N,)``, 0 where it is right."""
        ...

    def caption(self, i: int) -> str:
        """What a sample is called, said to be and, in truth, is."""
        ...

    def place(self, i: int) -> int:
        """Where a sample stands in the split."""
        ...

    def summary(self) -> list[str]:
        """What people are shown of a prediction, a line each."""
        ...

    def drawings(self) -> Drawings:
        """What draws each plot of a test."""
        ...

    def charts(self, plot: Any, table: Any) -> dict[str, Any]:
        """W&B's own charts of a test, made by its ``plot`` and ``Table``."""
        ...


def save(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet or, where the name ends so, as CSV."""
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            pyarrow.parquet.write_table(table, temporary)

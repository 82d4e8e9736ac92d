"""Define the predictions for a split, whatever the kind of target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeAlias

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
"""Functions that draw the plots, by name."""

Column: TypeAlias = NDArray[np.generic]
"""A column of a prediction table ``(N,)``."""

Charts: TypeAlias = Mapping[str, object]
"""W&B's charts, by name."""


class Answers(Protocol):
    """The part of a task that results need."""

    @property
    def spec(self) -> DataSpec:
        """Properties of the data."""
        ...

    @property
    def scheme(self) -> str | None:
        """Scheme of entity tags, such as ``IOB2``; ``None`` if the tags mark no entities."""
        ...

    def labels(self, predictions: Tensor) -> Tensor:
        """Decide the class, labels or values of each sample from its predictions."""
        ...


class Predictions(Protocol):
    """Predictions for the samples of one split, or for those of ``tunesmith predict``."""

    @property
    def files(self) -> list[str]:
        """Name of each sample ``(N,)``, or the text itself."""
        ...

    @property
    def targets(self) -> object:
        """True targets; ``None`` if unknown."""
        ...

    @property
    def column(self) -> str:
        """Name of the saved table's first column."""
        ...

    @property
    def least_rows(self) -> int:
        """Fewest rows for which `by_class` adds to the metrics."""
        ...

    def table(self) -> pa.Table:
        """Return the table to save."""
        ...

    def save(self, path: Path) -> None:
        """Write the table; see `save`."""
        ...

    def by_class(self) -> pd.DataFrame:
        """Return one row per class, label, value or entity type, its name first; empty for kinds without."""
        ...

    def wrongness(self) -> NDArray[np.float64]:
        """Return how wrong each prediction is ``(N,)``, 0 if right."""
        ...

    def caption(self, i: int) -> str:
        """Return a sample's name, its prediction and the truth."""
        ...

    def place(self, i: int) -> int:
        """Return a sample's position in the split."""
        ...

    def summary(self) -> list[str]:
        """Return the lines to print after a prediction."""
        ...

    def drawings(self) -> Drawings:
        """Return the functions that draw the plots of a test."""
        ...

    def charts(self, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """Make W&B's charts of a test with its module ``plot`` and its class ``Table``."""
        ...


def tensor(value: object) -> Tensor:
    """Narrow a collected value to a tensor ``(N, …)``."""
    import torch  # takes 2 s to import, and the comparison of runs does without

    assert isinstance(value, torch.Tensor)
    return value


def each(value: object) -> list[object]:
    """Narrow a collected value to a list of N."""
    assert isinstance(value, list)
    return value


def save(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, or as CSV if the name ends in ``.csv``."""
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            pyarrow.parquet.write_table(table, temporary)

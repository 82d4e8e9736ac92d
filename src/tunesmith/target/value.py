"""Define targets of one or more real numbers per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import DataError
from tunesmith.target.base import Moments, Target
from tunesmith.target.result import samples
from tunesmith.target.result.predictions import Answers, Charts, Column, Drawings, Predictions
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.table.cells import Cells, Found
from tunesmith.target.table.check import check_columns, check_finite
from tunesmith.target.table.strata import Floats, Ints, Numbers, merged, tenths

if TYPE_CHECKING:
    from torch import Tensor


@final
class ValueTarget(Target[Floats, Numbers]):
    """Values in their own units ``(N, K)``, float32; ``(B, K)`` in a batch.

    The prediction table has ``target_<value>``, if known, and ``<value>``, or ``predicted_<value>`` if another column
    already has that name.
    """

    name = "value"
    plural = "values"
    loss = "mse"
    least_rows: ClassVar[int] = 2  # for one value, the metrics already say it all

    def check(self, targets: Floats, names: tuple[str, ...]) -> None:
        """Refuse NaN and infinite values."""
        check_columns(targets, names)
        check_finite(targets)

    def plain(self, targets: Floats, names: tuple[str, ...]) -> list[object]:
        """Return a list of numbers per sample."""
        return list(targets.tolist())

    def strata(self, targets: Floats, names: tuple[str, ...], smallest: int) -> Ints:
        """Return the tenths of the first value; with ten or fewer different values, each is a stratum."""
        return merged(tenths(targets[:, 0]), max(1, smallest))

    def moments(self, targets: Floats, names: tuple[str, ...], what: str) -> Moments:
        """Return mean and standard deviation of each value; see `Target.moments`."""
        mean, std = targets.mean(0, dtype=np.float64), targets.std(0, dtype=np.float64)
        if not std.all():
            constant = int(std.argmin())
            raise DataError(
                f"Expected '{names[constant]}' to vary over the {what} of train but it is always {mean[constant]:g}."
            )
        return tuple(mean.tolist()), tuple(std.tolist())

    def in_words(self, target: Numbers, names: tuple[str, ...]) -> str:
        """Return each name with its value."""
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(names, target, strict=True))

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Make values from one column of numbers each."""
        values = np.stack([columns.numbers(name) for name in labels], axis=1)
        return Found(self.name, values.astype(np.float32), tuple(labels), tuple(labels))

    def regressed(self, target: Tensor) -> Tensor:
        """Return the values themselves."""
        return target

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """Return the mean of each value."""
        import torch  # takes 2 s to import, and the comparison of runs does without

        return torch.tensor(spec.target_mean, dtype=torch.float32), "the mean"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make predictions from a test; see `Target.tested`."""
        return samples.tested(self, task, names, found)

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make predictions from ``tunesmith predict``; see `Target.predicted`."""
        return samples.predicted(self, task, asked, found)

    def pooled_columns(self, names: Sequence[str]) -> list[str]:
        """Name the columns of true and predicted values."""
        return [f"target_{name}" for name in names] + list(names)

    def pooled(self, columns: Mapping[str, Column], names: Sequence[str]) -> dict[str, float]:
        """Compute MAE, RMSE and R² over all folds."""
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error  # takes seconds to import

        truth, said = (np.stack([columns[f"{prefix}{n}"] for n in names], axis=1) for prefix in ("target_", ""))
        return {
            "mae": float(mean_absolute_error(truth, said)),
            "rmse": float(root_mean_squared_error(truth, said)),
            "r2": float(r2_score(truth, said)),
        }

    # ── predictions, as `samples.SampleKind` requires them ──────────────────────────────────────────────────────────

    def columns(self, found: SamplePredictions) -> dict[str, object]:
        """Return ``<value>``, or ``predicted_<value>``."""
        taken = {found.column, *(f"target_{name}" for name in found.class_names)}
        columns = zip(found.class_names, found.values.T, strict=True)
        return {f"predicted_{name}" if name in taken else name: column for name, column in columns}

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """Return nothing: a value has no probability."""
        return ""

    def by_class(self, found: SamplePredictions) -> pd.DataFrame:
        """Return ``mae``, ``rmse``, ``r2`` and ``support`` per ``value``."""
        assert found.targets is not None
        error, spread = found.values - found.targets, found.targets - found.targets.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # R² of constant targets is NaN
            r2 = 1 - (error**2).sum(axis=0) / (spread**2).sum(axis=0)
        columns = {
            "value": found.class_names,
            "mae": np.abs(error).mean(axis=0),
            "rmse": np.sqrt((error**2).mean(axis=0)),
            "r2": r2,
        }
        return pd.DataFrame(columns | {"support": len(error)})

    def wrongness(self, found: SamplePredictions) -> NDArray[np.float64]:
        """Return each sample's largest error, in standard deviations of the value ``(N,)``."""
        assert found.targets is not None
        off = np.abs(found.values - found.targets) / np.maximum(found.targets.std(axis=0), 1e-12)
        return np.asarray(off.max(1))

    def summary(self, found: SamplePredictions) -> list[str]:
        """Return the range and median of each predicted value."""
        said = found.labels
        ends = zip(found.class_names, said.min(axis=0), np.median(said, axis=0), said.max(axis=0), strict=True)
        return [f"{name}: {low:.4g} to {high:.4g}, median {middle:.4g}" for name, low, middle, high in ends]

    def drawings(self, found: SamplePredictions) -> Drawings:
        """Return the plot of predicted against true values."""
        from tunesmith.target.result import plot  # imports matplotlib

        return {"values": partial(plot.draw_values, found)}

    def charts(self, found: SamplePredictions, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """Make W&B's charts of predicted against true values."""
        assert found.targets is not None
        charts = {}
        for i, name in enumerate(found.class_names):
            points = np.stack([found.targets[:, i], found.values[:, i]], axis=1).tolist()
            charts[f"predicted/{name}"] = plot.scatter(
                table(["true", "predicted"], points), "true", "predicted", title=name
            )
        return charts


TARGET = ValueTarget()

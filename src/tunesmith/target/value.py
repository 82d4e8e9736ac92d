"""One or more real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import DataError
from tunesmith.target.base import Target
from tunesmith.target.result import samples
from tunesmith.target.result.predictions import Answers, Drawings, Predictions
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.table.cells import Cells, Found
from tunesmith.target.table.check import check_columns, check_finite
from tunesmith.target.table.strata import Ints, merged, tenths

if TYPE_CHECKING:
    from torch import Tensor


@final
class ValueTarget(Target):
    """Values in their own units ``(N, K)``, float32; ``(B, K)`` in a batch.

    The prediction table has ``target_<value>``, where known, and ``<value>``; one that is called as the first column or
    as a column of the truth stands as ``predicted_<value>``.
    """

    name = "value"
    plural = "values"
    loss = "mse"
    least_rows: ClassVar[int] = 2  # of a single value the metrics say the same

    def check(self, targets: Any, names: tuple[str, ...]) -> None:
        """Refuse what is no finite number."""
        check_columns(targets, names)
        check_finite(targets)

    def plain(self, targets: Any, names: tuple[str, ...]) -> list[Any]:
        """A list of numbers for each sample."""
        found: list[Any] = targets.tolist()
        return found

    def strata(self, targets: Any, names: tuple[str, ...], smallest: int) -> Ints:
        """Tenths of the first value, or its values themselves where there are ten or fewer."""
        return merged(tenths(targets[:, 0]), max(1, smallest))

    def moments(self, targets: Any, names: tuple[str, ...], what: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each value; see `Target.moments`."""
        mean, std = targets.mean(0, dtype=np.float64), targets.std(0, dtype=np.float64)
        if not std.all():
            constant = int(std.argmin())
            raise DataError(
                f"Expected '{names[constant]}' to differ between the {what} of train but it is {mean[constant]:g}."
            )
        return tuple(mean.tolist()), tuple(std.tolist())

    def in_words(self, target: Any, names: tuple[str, ...]) -> str:
        """Each value behind its name."""
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(names, target, strict=True))

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """A column of numbers per value."""
        values = np.stack([columns.numbers(name) for name in labels], axis=1)
        return Found(self.name, values.astype(np.float32), tuple(labels), tuple(labels))

    def regressed(self, target: Tensor) -> Tensor:
        """The values themselves."""
        return target

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """The mean of each value."""
        import torch  # takes 2 s to import, and the comparison of runs does without

        return torch.tensor(spec.target_mean, dtype=torch.float32), "the mean"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """What a test said; see `Target.tested`."""
        return samples.tested(self, task, names, found)

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """What a prediction said; see `Target.predicted`."""
        return samples.predicted(self, task, asked, found)

    def pooled_columns(self, names: Sequence[str]) -> list[str]:
        """The truth, and the values predicted."""
        return [f"target_{name}" for name in names] + list(names)

    def pooled(self, columns: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
        """Errors and R² over all folds."""
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error  # takes seconds to import

        truth, said = (np.stack([columns[f"{prefix}{n}"] for n in names], axis=1) for prefix in ("target_", ""))
        return {
            "mae": float(mean_absolute_error(truth, said)),
            "rmse": float(root_mean_squared_error(truth, said)),
            "r2": float(r2_score(truth, said)),
        }

    # ── of predictions, as `samples.SampleKind` has them ────────────────────────────────────────────────────────────

    def columns(self, found: SamplePredictions) -> dict[str, Any]:
        """``<value>``, or ``predicted_<value>``."""
        taken = {found.column, *(f"target_{name}" for name in found.class_names)}
        columns = zip(found.class_names, found.values.T, strict=True)
        return {f"predicted_{name}" if name in taken else name: column for name, column in columns}

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """Nothing: a value has no probability."""
        return ""

    def by_class(self, found: SamplePredictions) -> pd.DataFrame:
        """``mae``, ``rmse``, ``r2`` and ``support`` of each ``value``."""
        assert found.targets is not None
        error, spread = found.values - found.targets, found.targets - found.targets.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # R² of one sample, or of equal ones, is no number
            r2 = 1 - (error**2).sum(axis=0) / (spread**2).sum(axis=0)
        columns = {
            "value": found.class_names,
            "mae": np.abs(error).mean(axis=0),
            "rmse": np.sqrt((error**2).mean(axis=0)),
            "r2": r2,
        }
        return pd.DataFrame(columns | {"support": len(error)})

    def wrongness(self, found: SamplePredictions) -> NDArray[np.float64]:
        """The largest error of a value, in its standard deviations ``(N,)``."""
        assert found.targets is not None
        off = np.abs(found.values - found.targets) / np.maximum(found.targets.std(axis=0), 1e-12)
        return np.asarray(off.max(1))

    def summary(self, found: SamplePredictions) -> list[str]:
        """Between what and what each value was predicted."""
        said = found.labels
        ends = zip(found.class_names, said.min(axis=0), np.median(said, axis=0), said.max(axis=0), strict=True)
        return [f"{name}: {low:.4g} to {high:.4g}, median {middle:.4g}" for name, low, middle, high in ends]

    def drawings(self, found: SamplePredictions) -> Drawings:
        """Predicted against true values."""
        from tunesmith.target.result import plot  # imports matplotlib

        return {"values": partial(plot.draw_values, found)}

    def charts(self, found: SamplePredictions, plot: Any, table: Any) -> dict[str, Any]:
        """Predicted against true values."""
        assert found.targets is not None
        charts = {}
        for i, name in enumerate(found.class_names):
            points = np.stack([found.targets[:, i], found.values[:, i]], axis=1).tolist()
            charts[f"predicted/{name}"] = plot.scatter(
                table(["true", "predicted"], points), "true", "predicted", title=name
            )
        return charts


TARGET = ValueTarget()

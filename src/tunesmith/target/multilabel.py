"""Define targets of any number of labels per sample."""

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
from tunesmith.target.base import Target
from tunesmith.target.result import classes, samples
from tunesmith.target.result.predictions import Answers, Charts, Drawings, Predictions
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.table.cells import BOOLEANS, Cells, Found, ordered
from tunesmith.target.table.check import check_all_present, check_columns, check_finite
from tunesmith.target.table.strata import Floats, Ints, Numbers

if TYPE_CHECKING:
    from torch import Tensor


@final
class MultilabelTarget(Target[Floats, Numbers]):
    """Labels, 0 or 1 ``(N, K)``, float32; ``(B, K)`` in a batch.

    The prediction table has ``target_<label>``, 0 or 1, if known, ``label``, the predicted labels, and ``p_<label>``.
    """

    name = "multilabel"
    plural = "labels"
    title = "label"
    unit = "label"
    loss = "bce"
    independent = True
    least_rows: ClassVar[int] = 1

    def check(self, targets: Floats, names: tuple[str, ...]) -> None:
        """Refuse a single label, and values other than 0 and 1."""
        check_columns(targets, names)
        if len(names) < 2:
            raise DataError(
                f"Expected at least two labels but got {', '.join(names)}: for a single label, use data.target=class."
            )
        if not np.isin(targets, (0, 1)).all():
            raise DataError("Expected every label to be 0 or 1 but some are not.")
        check_finite(targets)

    def plain(self, targets: Floats, names: tuple[str, ...]) -> list[object]:
        """Return a list of 0 and 1 per sample."""
        return list(targets.tolist())

    def counts(self, targets: Floats, names: tuple[str, ...]) -> Ints:
        """Count the samples with each label ``(K,)``; a sample may have several, or none."""
        found: Ints = targets.sum(0).astype(np.int64)
        return found

    def occurrences(self, targets: Floats, names: tuple[str, ...]) -> Floats:
        """Return the labels ``(R, K)``."""
        return targets

    def check_train(self, absent: Sequence[str], what: str) -> None:
        """Refuse a training split that lacks some labels."""
        check_all_present(absent, what)

    def in_words(self, target: Numbers, names: tuple[str, ...]) -> str:
        """Return the names of the labels, separated by commas; empty for none."""
        return ", ".join(names[k] for k in target.nonzero()[0])

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Make labels from one column with a separator, or from one column of 0 and 1 per label."""
        separator = columns.between(labels) if separator is None else separator
        if separator is not None:
            return _separated(columns, labels, separator, classes)
        return Found(self.name, _zeros_and_ones(columns, labels), tuple(labels), tuple(labels))

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """Return each label that most samples have."""
        import torch  # takes 2 s to import, and the comparison of runs does without

        return (2 * torch.tensor(spec.train_counts) > spec.train_size).float(), "each label's majority"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make predictions from a test; see `Target.tested`."""
        return samples.tested(self, task, names, found)

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make predictions from ``tunesmith predict``; see `Target.predicted`."""
        return samples.predicted(self, task, asked, found)

    # ── predictions, as `samples.SampleKind` requires them ──────────────────────────────────────────────────────────

    def columns(self, found: SamplePredictions) -> dict[str, object]:
        """Return ``label`` and ``p_<label>``."""
        return classes.columns(found)

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """Return nothing: each label has its own probability."""
        return ""

    def by_class(self, found: SamplePredictions) -> pd.DataFrame:
        """Return ``precision``, ``recall``, ``f1``, ``average_precision`` and ``support`` per ``label``."""
        import torch
        from torchmetrics.functional.classification import multilabel_average_precision

        assert found.targets is not None
        truth, said = found.targets.astype(bool), found.labels.astype(bool)
        columns = classes.scores(truth, said, found.class_names, "label")
        values, labels = torch.tensor(found.values), torch.tensor(found.targets)
        areas = multilabel_average_precision(values, labels, len(found.class_names), average=None)
        columns["average_precision"] = areas.numpy()
        return pd.DataFrame(columns | {"support": truth.sum(axis=0)})

    def wrongness(self, found: SamplePredictions) -> NDArray[np.float64]:
        """Return the number of wrong labels per sample, ties ordered by their confidence ``(N,)``."""
        assert found.targets is not None
        wrong = found.labels != found.targets
        sure = (np.abs(found.values - found.targets) * wrong).sum(axis=1) / max(1, len(found.class_names))
        return np.asarray(wrong.sum(axis=1) + sure)

    def summary(self, found: SamplePredictions) -> list[str]:
        """Count the predictions of each label."""
        return classes.summary(found.labels.sum(axis=0), found.class_names)

    def drawings(self, found: SamplePredictions) -> Drawings:
        """Return the plot of F1 and average precision per label."""
        from tunesmith.target.result import plot  # imports matplotlib

        return {"labels": partial(plot.draw_labels, found)}

    def charts(self, found: SamplePredictions, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """Make W&B's charts of F1 and average precision per label."""
        rows = self.by_class(found)
        scores = {key: table(dataframe=rows[["label", key]]) for key in ("f1", "average_precision")}
        return {key: plot.bar(data, "label", key, title=key) for key, data in scores.items()}


TARGET = MultilabelTarget()


def _separated(columns: Cells, labels: Sequence[str], separator: str, classes: Sequence[str] | None) -> Found:
    if len(labels) != 1:
        raise DataError(f"Expected one column of labels with data.separator but got {', '.join(labels)}.")
    own = [{part.strip() for part in cell.split(separator)} - {""} for cell in columns.text(labels[0]).tolist()]
    order = ordered(columns.file, labels[0], sorted(set().union(*own)), classes, own)
    targets = np.array([[label in row for label in order] for row in own], dtype=np.float32)
    return Found(TARGET.name, targets.reshape(len(own), len(order)), tuple(order), tuple(labels))


def _zeros_and_ones(columns: Cells, labels: Sequence[str]) -> Floats:
    found = []
    for name in labels:
        cells = np.array([BOOLEANS.get(cell.lower(), cell) for cell in columns.text(name).tolist()])
        columns.check(~np.isin(cells, ("0", "1")), name, "0 or 1")
        found.append(cells.astype(np.float32))
    return np.stack(found, axis=1)

"""Any number of labels."""

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
from tunesmith.target.result import classes, samples
from tunesmith.target.result.predictions import Answers, Drawings, Predictions
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.table.cells import BOOLEANS, Cells, Found, ordered
from tunesmith.target.table.check import check_all_present, check_columns, check_finite
from tunesmith.target.table.strata import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor


@final
class MultilabelTarget(Target):
    """Labels, 0 or 1 ``(N, K)``, float32; ``(B, K)`` in a batch.

    The prediction table has ``target_<label>``, 0 or 1, where known, ``label``, those given, and ``p_<label>``.
    """

    name = "multilabel"
    plural = "labels"
    title = "label"
    unit = "label"
    loss = "bce"
    independent = True
    least_rows: ClassVar[int] = 1

    def check(self, targets: Any, names: tuple[str, ...]) -> None:
        """Refuse a single label, and anything but 0 and 1."""
        check_columns(targets, names)
        if len(names) < 2:
            raise DataError(
                f"Expected at least two labels but got {', '.join(names)}: one label is a class or its absence."
            )
        if not np.isin(targets, (0, 1)).all():
            raise DataError("Expected every label to be 0 or 1 but some are not.")
        check_finite(targets)

    def plain(self, targets: Any, names: tuple[str, ...]) -> list[Any]:
        """A list of 0 and 1 for each sample."""
        found: list[Any] = targets.tolist()
        return found

    def counts(self, targets: Any, names: tuple[str, ...]) -> Ints:
        """Number of samples with each label ``(K,)``; a sample may have several, or none."""
        found: Ints = targets.sum(0).astype(np.int64)
        return found

    def occurrences(self, targets: Any, names: tuple[str, ...]) -> Floats:
        """The labels ``(R, K)``."""
        found: Floats = targets
        return found

    def check_train(self, absent: Sequence[str], what: str) -> None:
        """Refuse a training split without some of the labels."""
        check_all_present(absent, what)

    def in_words(self, target: Any, names: tuple[str, ...]) -> str:
        """Names of the labels, with commas between them; empty for none."""
        return ", ".join(names[k] for k in target.nonzero()[0])

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Labels of one column, with something between them, or one column of 0 and 1 per label."""
        separator = columns.between(labels) if separator is None else separator
        if separator is not None:
            return _separated(columns, labels, separator, classes)
        return Found(self.name, _zeros_and_ones(columns, labels), tuple(labels), tuple(labels))

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """Each label that most samples have."""
        import torch  # takes 2 s to import, and the comparison of runs does without

        return (2 * torch.tensor(spec.train_counts) > spec.train_size).float(), "each label's majority"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """What a test said; see `Target.tested`."""
        return samples.tested(self, task, names, found)

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """What a prediction said; see `Target.predicted`."""
        return samples.predicted(self, task, asked, found)

    # ── of predictions, as `samples.SampleKind` has them ────────────────────────────────────────────────────────────

    def columns(self, found: SamplePredictions) -> dict[str, Any]:
        """``label`` and ``p_<label>``."""
        return classes.columns(found)

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """Nothing: each label has a probability of its own."""
        return ""

    def by_class(self, found: SamplePredictions) -> pd.DataFrame:
        """``precision``, ``recall``, ``f1``, ``average_precision`` and ``support`` of each ``label``."""
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
        """Number of wrong labels of each sample and, of as many, how sure they were ``(N,)``."""
        assert found.targets is not None
        wrong = found.labels != found.targets
        sure = (np.abs(found.values - found.targets) * wrong).sum(axis=1) / max(1, len(found.class_names))
        return np.asarray(wrong.sum(axis=1) + sure)

    def summary(self, found: SamplePredictions) -> list[str]:
        """How often each label was given."""
        return classes.summary(found.labels.sum(axis=0), found.class_names)

    def drawings(self, found: SamplePredictions) -> Drawings:
        """F1 and average precision of each label."""
        from tunesmith.target.result import plot  # imports matplotlib

        return {"labels": partial(plot.draw_labels, found)}

    def charts(self, found: SamplePredictions, plot: Any, table: Any) -> dict[str, Any]:
        """F1 and average precision of each label."""
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

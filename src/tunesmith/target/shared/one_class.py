"""What classes have in common, with or without an order: each sample is of exactly one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.contract.spec import DataSpec
from tunesmith.target.base import Target
from tunesmith.target.result import classes, samples
from tunesmith.target.result.predictions import Answers, Drawings, Predictions
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.table.cells import Cells, Found, classes_of
from tunesmith.target.table.check import check_all_present, check_indices, counts_of
from tunesmith.target.table.strata import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor


def commonest(spec: DataSpec) -> tuple[Tensor, str]:
    """Give the class that is commonest in train, as probabilities ``(K,)``, and its name."""
    import torch  # takes 2 s to import, and the comparison of runs does without

    counts = torch.tensor(spec.train_counts)
    common = int(counts.argmax())
    return torch.nn.functional.one_hot(torch.tensor(common), len(counts)).float(), spec.class_names[common]


class OneClass(Target, ABC):
    """A class index per sample ``(N,)``, int64.

    The prediction table has ``target``, where known, ``label``, the class predicted, and ``p_<class>`` for each class.
    """

    title = "class"
    total = "all"
    exclusive = True
    least_rows: ClassVar[int] = 1
    ranked: ClassVar[bool]
    """Whether the classes have an order."""

    def check(self, targets: Any, names: tuple[str, ...]) -> None:
        """Refuse indices out of range, and a single class."""
        check_indices(targets, names)

    def plain(self, targets: Any, names: tuple[str, ...]) -> list[Any]:
        """Names of the classes."""
        return [names[target] for target in targets]

    def counts(self, targets: Any, names: tuple[str, ...]) -> Ints:
        """Number of samples of each class ``(K,)``."""
        return counts_of(targets, names)

    def occurrences(self, targets: Any, names: tuple[str, ...]) -> Floats:
        """Which class each sample is of, 0 or 1 ``(R, K)``."""
        found: Floats = np.eye(len(names))[targets.astype(np.int64)]
        return found

    def strata(self, targets: Any, names: tuple[str, ...], smallest: int) -> Ints:
        """The classes as they are, however rare."""
        found: Ints = targets.astype(np.int64)
        return found

    def composition(self, targets: Any, names: tuple[str, ...]) -> Floats:
        """The classes."""
        return self.occurrences(targets, names)

    def check_train(self, absent: Sequence[str], what: str) -> None:
        """Refuse a training split without some of the classes."""
        check_all_present(absent, what)

    def in_words(self, target: Any, names: tuple[str, ...]) -> str:
        """Name of the class."""
        return names[int(target)]

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Class indices of one column; see `Target.learnt`."""
        return classes_of(columns, labels, self.name, classes, self.ranked)

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """The commonest class."""
        return commonest(spec)

    def quoted(self, name: str) -> str:
        """The class's name, marked as one."""
        return f"“{name}”"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """What a test said; see `Target.tested`."""
        return samples.tested(self, task, names, found)

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """What a prediction said; see `Target.predicted`."""
        return samples.predicted(self, task, asked, found)

    def pooled_columns(self, names: Sequence[str]) -> list[str]:
        """The truth, and the class predicted."""
        return ["target", "label"]

    def pooled(self, columns: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
        """Accuracy and macro F1 over all folds."""
        return classes.pooled(columns["target"], columns["label"], list(names))

    # ── of predictions, as `samples.SampleKind` has them ────────────────────────────────────────────────────────────

    def columns(self, found: SamplePredictions) -> dict[str, Any]:
        """``label`` and ``p_<class>``."""
        return classes.columns(found)

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """The probability of the class that a sample is said to be."""
        return classes.sureness(found, i)

    def by_class(self, found: SamplePredictions) -> pd.DataFrame:
        """``precision``, ``recall``, ``f1`` and ``support`` of each ``class``."""
        return classes.by_class(found)

    @abstractmethod
    def off(self, found: SamplePredictions) -> NDArray[Any]:
        """How far each sample is off the truth ``(N,)``."""

    def wrongness(self, found: SamplePredictions) -> NDArray[np.float64]:
        """How far each sample is off and, where it is, the probability of the class that was said ``(N,)``."""
        return classes.wrongness(found, self.off(found))

    def summary(self, found: SamplePredictions) -> list[str]:
        """How often each class was predicted."""
        return classes.class_summary(found)

    @abstractmethod
    def drawings(self, found: SamplePredictions) -> Drawings:
        """What draws each plot of a test."""

    def charts(self, found: SamplePredictions, plot: Any, table: Any) -> dict[str, Any]:
        """W&B's confusion matrix, ROC and precision-recall curves."""
        return classes.charts(found, plot)

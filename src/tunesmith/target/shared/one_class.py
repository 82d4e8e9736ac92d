"""Share what targets with exactly one class per sample have in common, ordered or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.contract.spec import DataSpec
from tunesmith.target.base import Target
from tunesmith.target.result import classes, samples
from tunesmith.target.result.predictions import Answers, Charts, Column, Drawings, Predictions
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.table.cells import Cells, Found, classes_of
from tunesmith.target.table.check import check_all_present, check_indices, counts_of
from tunesmith.target.table.strata import Ints, Numbers

if TYPE_CHECKING:
    from torch import Tensor


def commonest(spec: DataSpec) -> tuple[Tensor, str]:
    """Return the most frequent class in train, as probabilities ``(K,)``, and its name."""
    import torch  # takes 2 s to import, and the comparison of runs does without

    counts = torch.tensor(spec.train_counts)
    common = int(counts.argmax())
    return torch.nn.functional.one_hot(torch.tensor(common), len(counts)).float(), spec.class_names[common]


class OneClass(Target[Ints, Numbers], ABC):
    """Class indices ``(N,)``, int64.

    The prediction table has ``target``, if known, ``label``, the predicted class, and ``p_<class>`` per class.
    """

    title = "class"
    total = "all"
    exclusive = True
    least_rows: ClassVar[int] = 1
    ranked: ClassVar[bool]
    """Whether the classes are ordered."""

    def check(self, targets: Ints, names: tuple[str, ...]) -> None:
        """Refuse indices out of range, and a single class."""
        check_indices(targets, names)

    def plain(self, targets: Ints, names: tuple[str, ...]) -> list[object]:
        """Return the name of each sample's class."""
        return [names[target] for target in targets]

    def counts(self, targets: Ints, names: tuple[str, ...]) -> Ints:
        """Count the samples of each class ``(K,)``."""
        return counts_of(targets, names)

    def occurrences(self, targets: Ints, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the class of each sample, 0 or 1 ``(R, K)``."""
        return np.eye(len(names))[targets.astype(np.int64)]

    def strata(self, targets: Ints, names: tuple[str, ...], smallest: int) -> Ints:
        """Return the classes themselves, however rare."""
        return targets.astype(np.int64)

    def composition(self, targets: Ints, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the classes as indicators ``(R, K)``."""
        return self.occurrences(targets, names)

    def check_train(self, absent: Sequence[str], what: str) -> None:
        """Refuse a training split that lacks some classes."""
        check_all_present(absent, what)

    def in_words(self, target: Numbers, names: tuple[str, ...]) -> str:
        """Return the name of a class."""
        return names[int(target)]

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Make class indices from one column; see `Target.learnt`."""
        return classes_of(columns, labels, self.name, classes, self.ranked)

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """Return the most frequent class."""
        return commonest(spec)

    def quoted(self, name: str) -> str:
        """Return the class's name in quotation marks."""
        return f"“{name}”"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make predictions from a test; see `Target.tested`."""
        return samples.tested(self, task, names, found)

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make predictions from ``tunesmith predict``; see `Target.predicted`."""
        return samples.predicted(self, task, asked, found)

    def pooled_columns(self, names: Sequence[str]) -> list[str]:
        """Name the columns of the true and the predicted class."""
        return ["target", "label"]

    def pooled(self, columns: Mapping[str, Column], names: Sequence[str]) -> dict[str, float]:
        """Compute accuracy and macro F1 over all folds."""
        return classes.pooled(columns["target"], columns["label"], list(names))

    # ── predictions, as `samples.SampleKind` requires them ──────────────────────────────────────────────────────────

    def columns(self, found: SamplePredictions) -> dict[str, object]:
        """Return ``label`` and ``p_<class>``."""
        return classes.columns(found)

    def sureness(self, found: SamplePredictions, i: int) -> str:
        """Return the probability of the predicted class."""
        return classes.sureness(found, i)

    def by_class(self, found: SamplePredictions) -> pd.DataFrame:
        """Return ``precision``, ``recall``, ``f1`` and ``support`` per ``class``."""
        return classes.by_class(found)

    @abstractmethod
    def off(self, found: SamplePredictions) -> Numbers | NDArray[np.bool_]:
        """Return each sample's distance from the truth ``(N,)``."""

    def wrongness(self, found: SamplePredictions) -> NDArray[np.float64]:
        """Return each sample's distance from the truth plus the probability of its wrong class ``(N,)``."""
        return classes.wrongness(found, self.off(found))

    def summary(self, found: SamplePredictions) -> list[str]:
        """Count the predictions of each class."""
        return classes.class_summary(found)

    @abstractmethod
    def drawings(self, found: SamplePredictions) -> Drawings:
        """Return the functions that draw the plots of a test."""

    def charts(self, found: SamplePredictions, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """Make W&B's confusion matrix, ROC and precision-recall curves."""
        return classes.charts(found, plot)

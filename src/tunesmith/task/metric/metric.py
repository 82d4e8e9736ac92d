"""Metrics that torchmetrics has not quite as a task needs them, and what goes into which metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import final

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection, R2Score
from torchmetrics.classification import (
    MulticlassConfusionMatrix,
    MulticlassExactMatch,
    MulticlassStatScores,
    MultilabelConfusionMatrix,
    MultilabelExactMatch,
    MultilabelStatScores,
)


@final
class AbsoluteError(MeanAbsoluteError):
    """Mean absolute error in the values' own units; one number for all K values."""

    def __init__(self) -> None:
        super().__init__()


@final
class RootSquaredError(MeanSquaredError):
    """Root of the mean squared error in the values' own units; one number for all K values."""

    def __init__(self) -> None:
        super().__init__(squared=False)


@final
class Determination(R2Score):
    """R²: the share of the variance that is explained, the mean over K values; NaN of fewer than two samples."""

    def compute(self) -> Tensor:
        """A scalar."""
        return super().compute() if self.total > 1 else torch.full((), torch.nan, device=self.total.device)


@final
class LevelError(MeanAbsoluteError):
    """Mean distance between the level that is said and the true one, in levels."""

    def __init__(self) -> None:
        super().__init__()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Take levels ``(B,)``, or probabilities ``(B, K)``, the highest of which counts; and the truth ``(B,)``."""
        said = preds.argmax(dim=-1) if preds.ndim == 2 else preds
        super().update(said.float(), target.float())


class OfSequences(Metric, ABC):
    """A metric of what is said of the words of whole texts."""

    @abstractmethod
    def update(self, labels: Tensor, target: Tensor, text: Tensor) -> None:
        """Take words in their order.

        Args:
            labels: Class of each ``(M,)``; -1 where nothing was said.
            target: The true one ``(M,)``.
            text: A number for each text ``(M,)``, rising.
        """


_OF_LABELS = (
    MulticlassStatScores,
    MulticlassConfusionMatrix,
    MulticlassExactMatch,
    MultilabelStatScores,
    MultilabelConfusionMatrix,
    MultilabelExactMatch,
    LevelError,
)


def scalar_mistakes(metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Name the metrics that give a number for each class."""
    for name, metric in metrics.items():
        each = getattr(metric, "average", "") in (None, "none")
        if each or (isinstance(metric, (MeanAbsoluteError, MeanSquaredError)) and metric.num_outputs > 1):
            yield (
                f"Expected task.metrics.{name} to give one number but got one for each class, label or value; "
                "per_class.tsv of a run has those."
            )


def takes_labels(metric: Metric) -> bool:
    """Whether a metric is of labels, and not of how probable they are."""
    return isinstance(metric, _OF_LABELS) and getattr(metric, "top_k", 1) == 1


def update(metrics: MetricCollection, predictions: Tensor, labels: Tensor, target: Tensor) -> None:
    """Update each metric with what it is of.

    Args:
        metrics: Without compute groups, which only the collection's own update keeps right.
        predictions: Probabilities ``(B, K)``.
        labels: The labels decided on ``(B,)`` or ``(B, K)``; the predictions where a metric is to decide.
        target: The true ones, of the same shape.
    """
    for metric in metrics.values(copy_state=False):
        metric.update(labels if takes_labels(metric) else predictions, target)

"""Adapt torchmetrics to tasks, and update each metric with what it takes."""

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
    """R²: the explained share of the variance, averaged over K values; NaN for fewer than two samples."""

    def compute(self) -> Tensor:
        """Return a scalar."""
        return super().compute() if self.total > 1 else torch.full((), torch.nan, device=self.total.device)


@final
class LevelError(MeanAbsoluteError):
    """Mean distance between the predicted level and the true one, in levels."""

    def __init__(self) -> None:
        super().__init__()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Update with levels ``(B,)``, or probabilities ``(B, K)``, whose highest counts; and true levels ``(B,)``."""
        said = preds.argmax(dim=-1) if preds.ndim == 2 else preds
        super().update(said.float(), target.float())


class OfSequences(Metric, ABC):
    """A metric of predictions for the words of whole texts."""

    @abstractmethod
    def update(self, labels: Tensor, target: Tensor, text: Tensor) -> None:
        """Update with words in their order.

        Args:
            labels: Predicted class of each word ``(M,)``; -1 for none.
            target: True class ``(M,)``.
            text: Number of each word's text ``(M,)``, ascending.
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


def by_stage(
    metrics: Mapping[str, Metric], monitor: str | None
) -> tuple[MetricCollection, MetricCollection, MetricCollection]:
    """Clone metrics for train (only the monitored one), val and test."""
    monitored = (monitor or "").rpartition("/")[2]
    train = MetricCollection({n: m.clone() for n, m in metrics.items() if n == monitored}, prefix="train/")
    # Without compute groups, whose members would all be updated with the same input.
    collection = MetricCollection(dict(metrics), compute_groups=False)
    return train, collection.clone(prefix="val/"), collection.clone(prefix="test/")


def scalar_mistakes(metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Report metrics that give one number per class."""
    for name, metric in metrics.items():
        each = getattr(metric, "average", "") in (None, "none")
        if each or (isinstance(metric, (MeanAbsoluteError, MeanSquaredError)) and metric.num_outputs > 1):
            yield (
                f"Expected task.metrics.{name} to return one number but got one per class, label or value; "
                "a run's per_class.tsv has those."
            )


def takes_labels(metric: Metric) -> bool:
    """Return whether a metric takes labels rather than probabilities."""
    return isinstance(metric, _OF_LABELS) and getattr(metric, "top_k", 1) == 1


def update(metrics: MetricCollection, predictions: Tensor, labels: Tensor, target: Tensor) -> None:
    """Update each metric with labels or predictions, whichever it takes.

    Args:
        metrics: Without compute groups, which only the collection's own update keeps right.
        predictions: Probabilities ``(B, K)``.
        labels: Predicted labels ``(B,)`` or ``(B, K)``; the predictions if a metric is to derive them.
        target: True labels, of the same shape.
    """
    for metric in metrics.values(copy_state=False):
        metric.update(labels if takes_labels(metric) else predictions, target)

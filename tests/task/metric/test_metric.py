from __future__ import annotations

import math
import re

import pytest
import torch
from torchmetrics import MeanSquaredError, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassCalibrationError,
    MulticlassCohenKappa,
    MultilabelAveragePrecision,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from tunesmith.task.metric.metric import (
    AbsoluteError,
    Determination,
    LevelError,
    RootSquaredError,
    scalar_mistakes,
    takes_labels,
    update,
)


def test_errors_of_several_values_are_one_number():
    said, true = torch.tensor([[1.0, 10.0], [2.0, 20.0]]), torch.tensor([[1.0, 14.0], [5.0, 20.0]])
    assert AbsoluteError()(said, true) == 7 / 4
    assert RootSquaredError()(said, true) == 2.5


def test_r2():
    metric = Determination()
    assert metric(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]])) == 0.5
    metric.reset()
    metric.update(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    assert math.isnan(metric.compute())


def test_distance_in_levels():
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]])
    assert LevelError()(probabilities, torch.tensor([0, 2])) == 1
    assert LevelError()(torch.tensor([1, 1]), torch.tensor([0, 1])) == 0.5


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        (MulticlassAccuracy(2), True),
        (MulticlassAccuracy(3, top_k=2), False),
        (MulticlassCohenKappa(2), True),
        (MulticlassAUROC(2), False),
        (MulticlassCalibrationError(2), False),
        (MultilabelF1Score(2), True),
        (MultilabelExactMatch(2), True),
        (MultilabelAveragePrecision(2), False),
        (LevelError(), True),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_a_metric_is_of(metric, labels):
    assert takes_labels(metric) is labels


def test_labels_go_to_those_that_take_them():
    metrics = MetricCollection({"a": MulticlassAccuracy(2), "b": MulticlassAUROC(2)}, compute_groups=False)
    predictions, truth = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([1, 0])
    update(metrics, predictions, predictions[:, 1].gt(0.3).long(), truth)
    assert metrics.compute() == {"a": 1, "b": 1}
    metrics.reset()
    update(metrics, predictions, predictions, truth)
    assert metrics.compute()["a"] == 0.5


def test_a_number_for_each_class_is_refused():
    assert not list(scalar_mistakes({"one": MulticlassAccuracy(3, average="macro"), "other": MeanSquaredError()}))
    for metric in (MulticlassAccuracy(3, average=None), MeanSquaredError(num_outputs=2)):
        (found,) = scalar_mistakes({"mine": metric})
        assert re.search(r"task\.metrics\.mine to return one number .* per_class\.tsv", found)

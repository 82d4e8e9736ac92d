from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tunesmith.run.evaluation import plot
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.target.base import of
from tunesmith.target.result.samples import SamplePredictions


def predictions(classes: int, n: int = 50, sure: float = 0.9) -> SamplePredictions:
    targets = np.arange(n) % classes
    probabilities = np.full((n, classes), (1 - sure) / (classes - 1), dtype=np.float32)
    probabilities[np.arange(n), targets] = sure
    names = tuple(f"c{i}" for i in range(classes))
    return SamplePredictions([str(i) for i in range(n)], probabilities, targets.copy(), names, of("class"), targets)


@pytest.mark.parametrize("classes", [2, 10, 150])
def test_all_are_drawn_for_few_and_many_classes(tmp_path, classes):
    MetricsLog(tmp_path).log_metrics({"train/loss": 1.0, "val/loss": 1.0, "val/accuracy": 0.5, "epoch": 0}, step=1)
    paths = plot.draw_all(tmp_path, predictions(classes, n=300), "val/accuracy")
    assert [p.stem for p in paths] == ["training_curves", "confusion_matrix", "reliability"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)


def test_a_run_that_never_ended_an_epoch_has_no_curves(tmp_path):
    assert plot.training_curves(tmp_path, "val/accuracy") is None


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [("ordinal", ["confusion_matrix"]), ("class", ["confusion_matrix", "reliability"])],
)
def test_what_is_drawn_of_a_kind(tmp_path, kind, drawn):
    found = dataclasses.replace(predictions(3), kind=of(kind))
    assert [p.stem for p in plot.draw_all(tmp_path, found, None)] == drawn

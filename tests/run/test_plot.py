from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from tunesmith.run import plot
from tunesmith.run.metrics_log import MetricsLog
from tunesmith.run.outcome import Predictions


def predictions(classes: int, n: int = 50, sure: float = 0.9) -> Predictions:
    targets = np.arange(n) % classes
    probabilities = np.full((n, classes), (1 - sure) / (classes - 1), dtype=np.float32)
    probabilities[np.arange(n), targets] = sure
    return Predictions([str(i) for i in range(n)], probabilities, tuple(f"c{i}" for i in range(classes)), targets)


@pytest.mark.parametrize("classes", [2, 10, 150])
def test_all_are_drawn_for_few_and_many_classes(tmp_path, classes):
    MetricsLog(tmp_path).log_metrics({"train/loss": 1.0, "val/loss": 1.0, "val/accuracy": 0.5, "epoch": 0}, step=1)
    paths = plot.draw_all(tmp_path, predictions(classes, n=300), "val/accuracy")
    assert [p.stem for p in paths] == ["training_curves", "confusion_matrix", "reliability"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)


def test_a_run_that_never_ended_an_epoch_has_no_curves(tmp_path):
    assert plot.training_curves(tmp_path, "val/accuracy") is None


def test_the_confusion_matrix_counts(tmp_path):
    found = predictions(2)
    found.probabilities[0] = (0.1, 0.9)  # one mistake: truth 0, predicted 1
    axes = plot.draw_confusion_matrix(found).axes[0]
    assert [text.get_text() for text in axes.texts] == ["24", "1", "0", "25"]
    assert "98.0% of 50" in axes.get_title()


def test_the_calibration_error_is_that_of_the_metrics():
    rng = np.random.default_rng(0)
    found = predictions(3, n=300)
    found.probabilities[:] = rng.dirichlet([1, 1, 1], size=300)
    metric = MulticlassCalibrationError(3)(torch.tensor(found.probabilities), torch.tensor(found.targets))
    assert f"{metric.item():.3f}" in plot.draw_reliability(found).axes[0].get_title()

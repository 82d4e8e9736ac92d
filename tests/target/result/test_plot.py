from __future__ import annotations

import numpy as np
import torch
from torchmetrics.classification import MulticlassCalibrationError

from tunesmith.target.base import of
from tunesmith.target.result import plot
from tunesmith.target.result.samples import SamplePredictions


def predictions(classes: int, n: int = 50, sure: float = 0.9) -> SamplePredictions:
    targets = np.arange(n) % classes
    probabilities = np.full((n, classes), (1 - sure) / (classes - 1), dtype=np.float32)
    probabilities[np.arange(n), targets] = sure
    names = tuple(f"c{i}" for i in range(classes))
    return SamplePredictions([str(i) for i in range(n)], probabilities, targets.copy(), names, of("class"), targets)


def test_the_confusion_matrix_counts(tmp_path):
    found = predictions(2)
    found.labels[0] = 1  # one mistake, whatever the probabilities say: there may be a threshold
    axes = plot.draw_confusion_matrix(found).axes[0]
    assert [text.get_text() for text in axes.texts] == ["24", "1", "0", "25"]
    assert "98.0% of 50" in axes.get_title()


def test_the_calibration_error_is_that_of_the_metrics():
    rng = np.random.default_rng(0)
    found = predictions(3, n=300)
    found.values[:] = rng.dirichlet([1, 1, 1], size=300)
    metric = MulticlassCalibrationError(3)(torch.tensor(found.values), torch.tensor(found.targets))
    assert f"{metric.item():.3f}" in plot.draw_reliability(found).axes[0].get_title()


def test_values_have_a_panel_each_with_its_r2():
    rng = np.random.default_rng(0)
    said = rng.normal(size=(30, 2)).astype(np.float32)
    files, true = [str(i) for i in range(30)], said + np.array([0, 1])
    found = SamplePredictions(files, said, said, ("kg", "mm"), of("value"), true)
    panels = plot.draw_values(found).axes
    assert [axes.get_title() for axes in panels[:1]] == ["kg, R² 1.000"]
    np.testing.assert_allclose(panels[1].lines[1].get_xdata() - panels[1].lines[1].get_ydata(), 1, atol=1e-6)
    assert all(np.ptp(axes.lines[0].get_xdata() - axes.lines[0].get_ydata()) == 0 for axes in panels)  # the diagonal


def test_labels_have_bars_the_commonest_above():
    given = np.array([[1, 0], [1, 1], [1, 0], [0, 0]])
    p = np.where(given, 0.9, 0.1).astype(np.float32)
    found = SamplePredictions(list("abcd"), p, given, ("often", "seldom"), of("multilabel"), given)
    axes = plot.draw_labels(found).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["often (3)", "seldom (1)"]
    assert [bar.get_width() for bar in axes.patches] == [1, 1, 1, 1]

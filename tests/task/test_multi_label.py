from __future__ import annotations

from types import SimpleNamespace

import torch

from tunesmith.task.calibration import Calibration
from tunesmith.task.multi_label import MultiLabel


def test_predictions_are_probabilities_of_each_label_in_full_precision():
    outputs = torch.tensor([[2.0, 0.0], [-1.0, 5.0]], dtype=torch.bfloat16)
    found = MultiLabel.predict(None, outputs)
    assert found.dtype is torch.float32 and torch.allclose(found, outputs.float().sigmoid())


def test_each_label_has_its_threshold():
    predictions = torch.tensor([[0.6, 0.6], [0.3, 0.3]])
    task = SimpleNamespace(calibration=Calibration())
    assert MultiLabel.labels(task, predictions).tolist() == [[1, 1], [0, 0]]
    task.calibration = Calibration(1.0, (0.2, 0.7))
    assert MultiLabel.labels(task, predictions).tolist() == [[1, 0], [1, 0]]


def test_a_mixture_has_the_labels_of_its_larger_part():
    assert MultiLabel.truth(None, torch.tensor([[1.0, 0.3], [0.7, 0.0]])).tolist() == [[1, 0], [1, 0]]

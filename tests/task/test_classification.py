from __future__ import annotations

from types import SimpleNamespace

import torch

from tunesmith.task.calibration import Calibration
from tunesmith.task.classification import Classification


def test_predictions_are_probabilities_in_full_precision():
    outputs = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.bfloat16)
    found = Classification.predict(None, outputs)
    assert found.dtype is torch.float32
    assert torch.allclose(found, outputs.float().softmax(-1))


def test_the_second_of_two_classes_may_have_a_threshold():
    predictions = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    assert Classification.labels(SimpleNamespace(calibration=Calibration()), predictions).tolist() == [0, 1, 0]
    assert Classification.labels(SimpleNamespace(calibration=Calibration(1.0, (0.2,))), predictions).tolist() == [
        1,
        1,
        0,
    ]

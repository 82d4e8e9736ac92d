from __future__ import annotations

import torch

from tunesmith.task.classification import Classification


def test_predictions_are_probabilities_in_full_precision():
    outputs = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.bfloat16)
    found = Classification.predict(None, outputs)
    assert found.dtype is torch.float32
    assert torch.allclose(found, outputs.float().softmax(-1))

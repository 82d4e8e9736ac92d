from __future__ import annotations

import torch

from tunesmith.contract.spec import DataSpec
from tunesmith.task.calibration import Calibration
from tunesmith.task.kind import Kind


class Plain(Kind):
    """The least that a kind can say of itself."""

    def __init__(self) -> None:
        self.calibration = Calibration()

    def predict(self, outputs):
        return outputs.softmax(-1)


def test_a_kind_says_no_more_than_how_outputs_become_predictions():
    kind, outputs = Plain(), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert Plain.num_outputs(DataSpec(("a", "b", "c"), 1, "", "sample")) == 3
    assert kind.labels(kind.predictions(outputs)).tolist() == [0, 1]
    assert not kind.calibrates and kind.calibrate(outputs, torch.tensor([0, 1])) == Calibration()
    assert kind.truth(torch.tensor([[0.2, 0.8], [0.9, 0.1]])).tolist() == [1, 0]


def test_views_are_averaged_after_the_temperature():
    kind, views = Plain(), torch.tensor([[[2.0, 0.0], [0.0, 4.0]]])
    assert torch.allclose(kind.predictions(views), views.softmax(-1).mean(1))
    assert torch.allclose(kind.predictions(views, Calibration(2.0)), (views / 2).softmax(-1).mean(1))

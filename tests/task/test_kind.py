from __future__ import annotations

import pytest
import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.contract.spec import DataSpec
from tunesmith.task.calibration import Calibration
from tunesmith.task.kind import Kind, counted_positions


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


@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 2)])
def test_positions_that_count_come_with_the_weight_of_their_sample(shape):
    target = torch.arange(12) % 2
    target[[0, 1, 5]] = IGNORED
    outputs = torch.randn(12, 5)
    found = counted_positions(outputs.view(*shape, 5), target.view(shape), torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(found.outputs, outputs[target >= 0]) and found.target.tolist() == [0, 1, 0, 0, 1, 0, 1, 0, 1]
    assert found.weight.tolist() == [1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert counted_positions(outputs.view(*shape, 5), target.view(shape), None).weight is None

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tunesmith.contract.spec import DataSpec
from tunesmith.task.regression import Regression


@pytest.fixture
def task():
    spec = DataSpec(("kg", "mm"), 3, "", "sample", target="value", target_mean=(70.0, -5.0), target_std=(12.0, 0.5))
    found = SimpleNamespace(spec=spec)
    found._scale = lambda device: Regression._scale(found, device)
    return found


def test_the_loss_sees_standard_deviations_and_the_rest_sees_units(task):
    values = torch.tensor([[82.0, -5.0], [58.0, -4.0]])
    assert torch.allclose(Regression.encode(task, values), torch.tensor([[1.0, 0.0], [-1.0, 2.0]]))
    assert torch.allclose(Regression.predict(task, Regression.encode(task, values)), values)
    assert torch.equal(Regression.truth(task, values), values)


def test_units_are_exact_in_half_precision(task):
    found = Regression.predict(task, torch.zeros(1, 2, dtype=torch.bfloat16))
    assert found.dtype is torch.float32 and found.tolist() == [[70.0, -5.0]]

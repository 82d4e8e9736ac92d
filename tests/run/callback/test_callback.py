from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from tunesmith.run.callback.callback import EMA, Collect


def averaged(model: nn.Module, ema: EMA) -> AveragedModel:
    return AveragedModel(model, use_buffers=True, multi_avg_fn=ema._average)


def test_what_does_not_move_keeps_its_bits():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    average = averaged(model, EMA(0.99))
    for _ in range(50):
        average.update_parameters(model)
    for one, other in zip(average.module.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_usual_formula_does_not_keep_them():
    """Negative control: this is why the average is written as a step toward the weight."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 64, 3)
    average = AveragedModel(model, avg_fn=get_ema_avg_fn(0.99))
    for _ in range(50):
        average.update_parameters(model)
    assert not torch.equal(average.module.weight, model.weight)


def test_it_follows_early_and_settles_late():
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = averaged(model, EMA(0.9))
    average.update_parameters(model)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1 - 2 / 11)
    for _ in range(200):
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1.0, abs=1e-6)


def test_collected_predictions_are_in_the_order_of_the_table():
    collect = Collect()
    for index in ([5, 2], [9]):
        step = {"index": torch.tensor(index), "target": torch.tensor(index) % 2}
        step["predictions"] = step["outputs"] = torch.tensor(index, dtype=torch.float32)[:, None]
        collect.on_test_batch_end(None, None, step, None, 0)
    found = collect.collected()
    assert found["index"].tolist() == [2, 5, 9]
    assert found["predictions"][:, 0].tolist() == [2.0, 5.0, 9.0]

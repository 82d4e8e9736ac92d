from __future__ import annotations

import torch
from torch import nn

from tunesmith.task.optimization.freeze import apply_trainable, freeze_modes


def block() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))


def test_a_frozen_parameter_loses_its_gradient():
    module = nn.Linear(2, 2)
    module(torch.ones(1, 2)).sum().backward()
    apply_trainable(module, {"bias"})
    assert module.weight.grad is None and not module.weight.requires_grad
    assert module.bias.grad is not None and module.bias.requires_grad


def test_a_frozen_unit_is_in_eval_with_all_that_is_in_it():
    unit = block().train()
    apply_trainable(unit, set())
    freeze_modes([unit])
    assert not any(m.training for m in unit.modules())


def test_a_training_unit_stays_in_training_mode():
    unit = block().eval().train()
    freeze_modes([unit])
    assert all(m.training for m in unit.modules())


def test_dropout_goes_with_its_unit_even_as_a_member_of_its_own():
    conv, drop = nn.Conv2d(3, 4, 3), nn.Dropout()
    conv.requires_grad_(False)
    freeze_modes([conv, drop])
    assert not drop.training
    conv.bias.requires_grad_(True)
    drop.train()
    freeze_modes([conv, drop])
    assert drop.training


def test_batch_norm_without_weights_goes_with_its_container():
    unit = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).train()
    apply_trainable(unit, set())
    freeze_modes([unit])
    assert not unit[1].training


def test_batch_norm_whose_bias_alone_trains_keeps_its_statistics():
    unit = block().train()
    apply_trainable(unit, {"1.bias"})
    freeze_modes([unit])
    assert not unit[1].training
    assert unit[2].training
    before = unit[1].running_mean.clone()
    unit(torch.randn(8, 3, 6, 6))
    assert torch.equal(unit[1].running_mean, before)


def test_a_unit_without_parameters_stays_as_it_is():
    drop = nn.Dropout().train()
    freeze_modes([drop])
    assert drop.training

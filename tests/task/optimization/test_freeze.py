from __future__ import annotations

import pytest
import torch
from torch import nn

from tunesmith.task.optimization.freeze import apply_trainable, freeze_modes, frozen_names


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


def test_only_what_is_named_trains():
    unit = block()
    apply_trainable(unit, {"0.weight", "1.bias"})
    assert {n for n, p in unit.named_parameters() if p.requires_grad} == {"0.weight", "1.bias"}
    apply_trainable(unit, {"0.bias"})
    assert {n for n, p in unit.named_parameters() if p.requires_grad} == {"0.bias"}


def test_a_module_with_parameters_of_its_own_trains_if_all_of_them_do_and_a_container_if_any_does():
    inner = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout())
    unit = nn.Sequential(nn.Conv2d(3, 4, 3), inner, nn.Sequential(nn.Conv2d(4, 4, 3), nn.Dropout())).train()
    apply_trainable(unit, {"1.0.weight", "1.0.bias"})
    freeze_modes([unit])
    training = {name for name, module in unit.named_modules() if module.training}
    assert training == {"", "1", "1.0", "1.1"}
    freeze_modes([nn.ModuleList(), unit])
    assert training == {name for name, module in unit.named_modules() if module.training}


class Around(nn.Module):
    """Buffers in a module without parameters, in one that has its own, and at the top; one of them is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.part = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2, affine=False)))
        self.register_buffer("top", torch.zeros(1))
        self.register_buffer("passing", torch.zeros(1), persistent=False)


def buffers(module, *phases):
    return set(frozen_names(module, [frozenset(phase) for phase in phases])) - set(dict(module.named_parameters()))


def parameters(module, *phases):
    return set(frozen_names(module, [frozenset(phase) for phase in phases])) & set(dict(module.named_parameters()))


STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}
NORM = {f"norm.{name}" for name in STATISTICS}
INNER = {f"part.1.0.{name}" for name in STATISTICS}


def test_frozen_is_what_no_phase_trains():
    module = Around()
    every = set(dict(module.named_parameters()))
    assert parameters(module, []) == every and parameters(module, every) == set()
    assert parameters(module, ["norm.bias"], ["norm.weight"]) == every - {"norm.bias", "norm.weight"}
    assert len(frozen_names(module, [frozenset()])) == len(set(frozen_names(module, [frozenset()]))) == len(every) + 7


@pytest.mark.parametrize(
    ("phases", "frozen"),
    [
        ([[]], {*NORM, *INNER, "top"}),
        # A norm moves its statistics where all of its own parameters train in one phase.
        ([["norm.weight", "norm.bias"]], INNER),
        ([["norm.bias"]], {*NORM, *INNER}),
        ([["norm.bias"], ["norm.weight"]], {*NORM, *INNER}),
        ([[], ["norm.weight", "norm.bias"]], INNER),
        # What has no parameters goes with the innermost module around it that has some.
        ([["part.0.bias"]], NORM),
    ],
)
def test_buffers_are_frozen_with_what_moves_them(phases, frozen):
    module = Around()
    # The top has no parameters of its own either: anything that trains may move its buffer.
    assert buffers(module, *phases) == frozen
    assert "passing" not in frozen_names(module, [frozenset()])


def test_a_buffer_in_a_module_without_any_parameters_is_frozen():
    lone = nn.Sequential(nn.BatchNorm1d(2, affine=False))
    assert set(frozen_names(lone, [frozenset()])) == {f"0.{name}" for name in STATISTICS}

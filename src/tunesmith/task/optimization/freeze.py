"""Freeze what does not train: no gradients, and eval mode."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

from torch import nn


def apply_trainable(module: nn.Module, trainable: Collection[str]) -> None:
    """Train the named parameters and no others.

    A frozen parameter also loses its gradient: an optimizer skips parameters without one, so neither momentum nor
    weight decay can move it.

    Args:
        module: The module that owns the parameters.
        trainable: Full names, as in `nn.Module.named_parameters`.
    """
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in trainable)
        if name not in trainable:
            parameter.grad = None


def freeze_modes(unit: Sequence[nn.Module]) -> None:
    """Put every part that does not train into eval mode, in a unit in training mode.

    A module with parameters of its own trains if all of them do: a BatchNorm of which only the bias trains keeps its
    statistics. A container trains if anything in it does. A module without parameters (dropout, stochastic depth,
    a BatchNorm without weights) follows its container, at the top the unit.

    Args:
        unit: The modules of a stage or a head.
    """
    parameters = [p for module in unit for p in module.parameters()]
    trains = not parameters or any(p.requires_grad for p in parameters)
    for module in unit:
        _freeze_modes(module, inherited=trains)


def _freeze_modes(module: nn.Module, inherited: bool) -> None:
    own = [p.requires_grad for p in module.parameters(recurse=False)]
    below = [p.requires_grad for p in module.parameters()]
    contains_trainable = any(below) if below else inherited
    # `training` is set directly: `eval()` would recurse into children that may train.
    module.training = all(own) if own else contains_trainable
    for child in module.children():
        _freeze_modes(child, contains_trainable)


def frozen_names(module: nn.Module, phases: Sequence[frozenset[str]]) -> list[str]:
    """Return the names of the parameters and saved buffers that training must not change.

    A parameter is frozen if no phase trains it; a buffer if in no phase all parameters of its own module train or, if
    it has none, any in the innermost module around it that has some. This uses names alone, not eval modes, which it
    serves to check.

    Args:
        module: The module with all parameters and buffers.
        phases: Names of the parameters that train, phase by phase.
    """
    ever = frozenset(chain.from_iterable(phases))
    saved = set(module.state_dict())
    found = [name for name, _ in module.named_parameters() if name not in ever]
    for name, _ in module.named_buffers():
        owner = name.rpartition(".")[0]
        own = {f"{owner}.{n}" for n, _ in module.get_submodule(owner).named_parameters(recurse=False)}
        may_move = any(own <= phase for phase in phases) if own else _trains(module, owner, ever)
        if name in saved and not may_move:
            found.append(name)
    return found


def _trains(module: nn.Module, owner: str, ever: frozenset[str]) -> bool:
    """Return whether anything trains in the innermost module with parameters around a buffer."""
    below = {f"{owner}.{n}" if owner else n for n, _ in module.get_submodule(owner).named_parameters()}
    if not below and owner:
        return _trains(module, owner.rpartition(".")[0], ever)
    return bool(below & ever)

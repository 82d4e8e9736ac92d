"""Frozen means frozen: gradients off, gradients gone, and eval mode for whatever does not train."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import nn


def apply_trainable(module: nn.Module, trainable: Collection[str]) -> None:
    """Let the named parameters train and no others.

    A frozen parameter also loses its gradient: an optimizer skips parameters without one, so neither momentum nor
    weight decay can move it.

    Args:
        module: The module whose parameters are meant.
        trainable: Full names, as `nn.Module.named_parameters` gives them.
    """
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in trainable)
        if name not in trainable:
            parameter.grad = None


def freeze_modes(unit: Sequence[nn.Module]) -> None:
    """Put every part that does not train into eval mode, in a unit that was just set to training mode.

    A module with parameters of its own trains if all of them do: a BatchNorm of which only the bias trains keeps its
    statistics. A container trains if anything in it does. A module without parameters (dropout, stochastic depth,
    a BatchNorm without weights) goes with what contains it, at the top with the unit.

    Args:
        unit: The modules that make up a stage, or a head.
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

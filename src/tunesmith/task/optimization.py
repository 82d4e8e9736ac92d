"""The optimizer and the schedule of a phase: all groups, named, whatever trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer

from tunesmith.parameters import ParameterTable

Node = Mapping[str, Any] | None
MakeOptimizer = Callable[[list[dict[str, Any]], Node], Optimizer]
MakeScheduler = Callable[[Optimizer, int, int, Node], tuple[Any, Literal["step", "epoch"]]]


def make_optimizer(module: nn.Module, table: ParameterTable, index: int, make: MakeOptimizer) -> Optimizer:
    """Build the optimizer of a phase, with every parameter in one group: thawing opens a gate and never adds a group.

    Args:
        module: Whose parameters they are.
        table: Names the groups.
        index: The phase, as `ParameterTable.optimizer_phase` gives it.
        make: Builds an optimizer from groups, and from what the phase has for itself.
    """
    parameters = dict(module.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameters[n] for n in names], "name": name, "multiplier": multiplier, "decay": decay}
        for (name, multiplier, decay), names in table.groups().items()
    ]
    optimizer = make(groups, table.phases[index].optimizer)
    for group in optimizer.param_groups:
        group["lr"] *= group["multiplier"]
        if "weight_decay" in group:
            group["weight_decay"] *= group["decay"]
    return optimizer


def steps(trainer: Trainer, span: tuple[int, int | None]) -> tuple[int, int]:
    """Count the optimizer steps of a stretch of epochs, and those of one epoch.

    Args:
        trainer: Fitting; it knows the data and the limits.
        span: The first epoch, and the one after the last or ``None`` for the end of the run.
    """
    total = int(trainer.estimated_stepping_batches)
    per_epoch = max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))
    first, end = span
    last = total if end is None else min(total, end * per_epoch)
    return max(1, last - first * per_epoch), per_epoch

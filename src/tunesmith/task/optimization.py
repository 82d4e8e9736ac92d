"""The optimizer and the schedule of a phase: all groups, named, whatever trains."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Literal

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer

from tunesmith.parameters import ParameterTable, Rate

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
        {"params": [parameters[n] for n in g.parameters], "name": g.name, "thaw": g.thaw, **asdict(g.rate)}
        for g in table.groups()
    ]
    optimizer = make(groups, table.phases[index].optimizer)
    for group in optimizer.param_groups:
        group["lr"] *= group["multiplier"]
        if "weight_decay" in group:
            group["weight_decay"] *= group["decay"]
    return optimizer


def configure(
    module: nn.Module,
    trainer: Trainer,
    table: ParameterTable,
    index: int,
    optimizer: MakeOptimizer,
    scheduler: MakeScheduler,
    monitor: str | None,
) -> dict[str, Any]:
    """Build the optimizer and the schedule of a phase, as Lightning wants them.

    Args:
        module: Whose parameters they are.
        trainer: Fitting.
        table: Names the groups, and says how long the phase is.
        index: The phase, as `ParameterTable.optimizer_phase` gives it.
        optimizer: Builds an optimizer.
        scheduler: Builds a schedule.
        monitor: What a plateau schedule looks at.
    """
    made = make_optimizer(module, table, index, optimizer)
    set_gates(made.param_groups, trainer.global_step, steps(trainer))
    schedule, interval = scheduler(made, *steps(trainer, table.span(index)), table.phases[index].scheduler)
    config = {"scheduler": schedule, "interval": interval, "monitor": monitor}
    return {"optimizer": made, "lr_scheduler": {k: v for k, v in config.items() if v is not None}}


def steps(trainer: Trainer, span: tuple[int, int | None] = (0, None)) -> tuple[int, int]:
    """Count the optimizer steps of a stretch of epochs, and those of one epoch.

    Args:
        trainer: Fitting; it knows the data and the limits.
        span: The first epoch, and the one after the last or ``None`` for the end of the run; by default all of it.
    """
    total = int(trainer.estimated_stepping_batches)
    per_epoch = max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))
    first, end = span
    last = total if end is None else min(total, end * per_epoch)
    return max(1, last - first * per_epoch), per_epoch


@contextlib.contextmanager
def gated(groups: list[dict[str, Any]], step: int, clock: tuple[int, int]) -> Iterator[None]:
    """Hold the rates of groups that ramp or warm up below the schedule's, for one step.

    The rates are put back as they were: schedules of torch go on from what they find.

    Args:
        groups: The optimizer's.
        step: The optimizer step, counted from 0.
        clock: Optimizer steps of the whole run, and of an epoch.
    """
    scheduled = [group["lr"] for group in groups]
    set_gates(groups, step, clock)
    for group in groups:
        group["lr"] = group["lr"] * group["gate"]
    try:
        yield
    finally:
        for group, lr in zip(groups, scheduled, strict=True):
            group["lr"] = lr
        set_gates(groups, step + 1, clock)


def set_gates(groups: list[dict[str, Any]], step: int, clock: tuple[int, int]) -> None:
    """Let every group say by its ``gate`` which share of the schedule's rate it gets.

    Args:
        groups: The optimizer's.
        step: The optimizer step, counted from 0.
        clock: Optimizer steps of the whole run, and of an epoch.
    """
    total_steps, steps_per_epoch = clock
    for group in groups:
        rate = Rate(**{field.name: group[field.name] for field in fields(Rate)})
        since = (step + 1) / steps_per_epoch - group["thaw"] if group["thaw"] else None
        group["gate"] = rate.gate(step, total_steps, since)

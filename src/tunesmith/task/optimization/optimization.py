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

from tunesmith.contract.parameters import ParameterTable, Rate

Node = Mapping[str, Any] | None
MakeOptimizer = Callable[[list[dict[str, Any]], Node], Optimizer]
MakeScheduler = Callable[[Optimizer, int, int, Node], tuple[Any, Literal["step", "epoch"]]]


class Optimization:
    """Which phase's optimizer and schedule are the present ones, and what they are built with.

    Args:
        optimizer: Builds the optimizer from parameter groups, and what a phase has for itself.
        scheduler: Builds the schedule from the optimizer, its number of steps, the steps an epoch, and what a phase has
            for itself; returns it with its interval.

    Attributes:
        phase: Index of the phase whose optimizer it is.
    """

    def __init__(self, optimizer: MakeOptimizer, scheduler: MakeScheduler) -> None:
        self.phase = 0
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._clock = (1, 1)  # optimizer steps of the run, and of an epoch

    def enter(self, table: ParameterTable, epoch: int) -> bool:
        """Go to the phase of an epoch; says whether another optimizer is to be built."""
        before, self.phase = self.phase, table.optimizer_phase(epoch)
        return self.phase != before

    def optimizer(self, module: nn.Module, table: ParameterTable, epoch: int) -> Optimizer:
        """Build the optimizer of an epoch alone, for a look at what it needs."""
        return make_optimizer(module, table, table.optimizer_phase(epoch), self._optimizer)

    def build(self, module: nn.Module, table: ParameterTable, trainer: Trainer) -> tuple[Optimizer, dict[str, Any]]:
        """Build the optimizer of the phase, and its schedule over the phase's own steps as Lightning takes it."""
        optimizer = make_optimizer(module, table, self.phase, self._optimizer)
        self._clock = steps(trainer, (0, None))
        set_gates(optimizer.param_groups, trainer.global_step, self._clock)
        total, per_epoch = steps(trainer, table.span(self.phase))
        own = table.phases[self.phase].scheduler
        scheduler, interval = self._scheduler(optimizer, total, per_epoch, own)
        return optimizer, {"scheduler": scheduler, "interval": interval}

    def retime(self, optimizer: Optimizer, table: ParameterTable, step: int) -> None:
        """Let groups know when they thaw by now, where a phase begins ahead of its time.

        Args:
            optimizer: The present one.
            table: With the new first epochs.
            step: The optimizer step that comes next, counted from 0.
        """
        for group, planned in zip(optimizer.param_groups, table.groups(), strict=True):
            group["thaw"] = planned.thaw
        set_gates(optimizer.param_groups, step, self._clock)

    def gated(self, optimizer: Any, step: int) -> contextlib.AbstractContextManager[None]:
        """Hold the rates of groups that ramp or warm up below the schedule's, for one step; see `gated`."""
        return gated(optimizer.param_groups, step, self._clock)


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


def steps(trainer: Trainer, span: tuple[int, int | None]) -> tuple[int, int]:
    """Count the optimizer steps of a stretch of epochs, and those of one epoch.

    Args:
        trainer: Fitting; it knows the data and the limits.
        span: The first epoch, and the one after the last or ``None`` for the end of the run.
    """
    total = int(trainer.estimated_stepping_batches)
    if math.isinf(trainer.num_training_batches):
        trainer.fit_loop.setup_data()  # which Lightning (2.6) puts off where steps alone end the run
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

"""Build the optimizer and the schedule of a phase, with all parameter groups, whatever trains."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Literal, TypeAlias

from lightning.pytorch import Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import LRSchedulerConfigType, LRSchedulerTypeUnion
from torch import nn
from torch.optim import Optimizer

from tunesmith.contract.parameters import ParameterTable, Rate

Groups: TypeAlias = list[dict[str, Any]]
"""Parameter groups, as torch's optimizers have them."""

Node = Mapping[str, object] | None
MakeOptimizer = Callable[[Groups, Node], Optimizer]
MakeScheduler = Callable[[Optimizer, int, int, Node], tuple[LRSchedulerTypeUnion, Literal["step", "epoch"]]]


class Optimization:
    """Tracks the phase of the current optimizer and schedule, and builds them.

    Args:
        optimizer: Builds the optimizer from parameter groups and a phase's own options.
        scheduler: Builds the schedule from the optimizer, its number of steps, the steps per epoch, and a phase's own
            options; returns it with its interval.

    Attributes:
        phase: Index of the phase of the current optimizer.
    """

    def __init__(self, optimizer: MakeOptimizer, scheduler: MakeScheduler) -> None:
        self.phase = 0
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._clock = (1, 1)  # optimizer steps of the run, and per epoch

    def enter(self, table: ParameterTable, epoch: int) -> bool:
        """Enter the phase of an epoch; return whether another optimizer must be built."""
        before, self.phase = self.phase, table.optimizer_phase(epoch)
        return self.phase != before

    def optimizer(self, module: nn.Module, table: ParameterTable, epoch: int) -> Optimizer:
        """Build the optimizer of an epoch alone, to measure its memory."""
        return make_optimizer(module, table, table.optimizer_phase(epoch), self._optimizer)

    def build(
        self, module: nn.Module, table: ParameterTable, trainer: Trainer, monitor: str | None = None
    ) -> tuple[Optimizer, LRSchedulerConfigType]:
        """Build the optimizer of the phase, and its schedule over the phase's own steps."""
        optimizer = make_optimizer(module, table, self.phase, self._optimizer)
        self._clock = steps(trainer, (0, None))
        set_gates(optimizer.param_groups, trainer.global_step, self._clock)
        total, per_epoch = steps(trainer, table.span(self.phase))
        own = table.phases[self.phase].scheduler
        scheduler, interval = self._scheduler(optimizer, total, per_epoch, own)
        schedule: LRSchedulerConfigType = {"scheduler": scheduler, "interval": interval}
        if monitor:
            schedule["monitor"] = monitor
        return optimizer, schedule

    def retime(self, optimizer: Optimizer, table: ParameterTable, step: int) -> None:
        """Update when groups thaw, after a phase began early.

        Args:
            optimizer: The current optimizer.
            table: The table with the new first epochs.
            step: The next optimizer step, from 0.
        """
        for group, planned in zip(optimizer.param_groups, table.groups(), strict=True):
            group["thaw"] = planned.thaw
        set_gates(optimizer.param_groups, step, self._clock)

    def gated(self, optimizer: Optimizer | LightningOptimizer, step: int) -> contextlib.AbstractContextManager[None]:
        """Hold the rates of groups that ramp or warm up below the schedule's, for one step; see `gated`."""
        return gated(optimizer.param_groups, step, self._clock)


def make_optimizer(module: nn.Module, table: ParameterTable, index: int, make: MakeOptimizer) -> Optimizer:
    """Build the optimizer of a phase, with every parameter in one group: thawing never adds a group.

    Args:
        module: The module that owns the parameters.
        table: The parameter table.
        index: The phase, from `ParameterTable.optimizer_phase`.
        make: Builds an optimizer from groups and the phase's own options.
    """
    parameters = dict(module.named_parameters())
    groups: Groups = [
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
    """Return the number of optimizer steps in a span of epochs, and per epoch.

    Args:
        trainer: The trainer, during a fit.
        span: The first epoch, and the one after the last or ``None`` for the end of the run.
    """
    total = int(trainer.estimated_stepping_batches)
    if math.isinf(trainer.num_training_batches):
        trainer.fit_loop.setup_data()  # Lightning (2.6) defers it if only steps end the run
    per_epoch = max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))
    first, end = span
    last = total if end is None else min(total, end * per_epoch)
    return max(1, last - first * per_epoch), per_epoch


@contextlib.contextmanager
def gated(groups: Groups, step: int, clock: tuple[int, int]) -> Iterator[None]:
    """Hold the rates of groups that ramp or warm up below the schedule's, for one step.

    The rates are restored afterwards: torch's schedules continue from them.

    Args:
        groups: The optimizer's groups.
        step: The optimizer step, from 0.
        clock: Optimizer steps of the whole run, and per epoch.
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


def set_gates(groups: Groups, step: int, clock: tuple[int, int]) -> None:
    """Set each group's ``gate``, its share of the schedule's rate.

    Args:
        groups: The optimizer's groups.
        step: The optimizer step, from 0.
        clock: Optimizer steps of the whole run, and per epoch.
    """
    total_steps, steps_per_epoch = clock
    for group in groups:
        rate = Rate(**{field.name: group[field.name] for field in fields(Rate)})
        since = (step + 1) / steps_per_epoch - group["thaw"] if group["thaw"] else None
        group["gate"] = rate.gate(step, total_steps, since)

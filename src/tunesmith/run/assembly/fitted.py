"""Adapt a run to a head that is fitted rather than trained."""

from __future__ import annotations

from collections.abc import Iterator

from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from torch import Tensor, nn

from tunesmith.contract.parameters import HEAD
from tunesmith.contract.protocols import FittedHead
from tunesmith.run.assembly.plan import Plan
from tunesmith.run.assembly.trainer import Trainer
from tunesmith.task.base import Task

ONE_EPOCH = {
    "max_epochs": 1,
    "max_steps": -1,
    "val_check_interval": 1.0,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": None,
}
"""Trainer options for a fitted head: one epoch, validation at its end, no gradients."""


UNHEARD = {
    "label_smoothing": "loss.label_smoothing=0",
    "shift": "loss.logit_adjustment=0",
    "gamma": "loss.gamma=0",
    "pos_weight": "loss.pos_weight=null",
}
"""Attributes of losses that a fitted head cannot take into account, and the option to switch each off."""


def settled(plan: Plan, head: object) -> Plan:
    """Return the plan, limited to one full epoch if the head is fitted."""
    return plan.with_trainer(**ONE_EPOCH) if isinstance(head, FittedHead) else plan


def mistakes(task: Task, trainer: Trainer) -> Iterator[str]:
    """Check what a fitted head, if the task has one, is combined with.

    It excludes a policy that trains the backbone, or never the head; averaged weights; several processes; and options
    of the loss other than class weights, since the head is fitted with its own loss.
    """
    if not isinstance(task.head, FittedHead):
        return
    rows = task.table.rows
    trains = sum(row.first_epoch is not None for row in rows if row.parameter.stage != HEAD)
    if trains or any(row.first_epoch != 0 for row in rows if row.parameter.stage == HEAD):
        yield (
            "Expected a policy that trains the head alone, since it is fitted to the features of a frozen backbone, "
            f"but got one that trains {trains} tensors of the backbone; use policy=linear_probe."
        )
    if any(isinstance(c, WeightAveraging | StochasticWeightAveraging) for c in trainer.callbacks):
        yield (
            "Expected no averaging of weights, since the head is fitted in one go, but got some; "
            "leave callback=ema out, or use head=linear."
        )
    yield from _unheard(task.loss)
    if trainer.world_size > 1:
        yield (
            f"Expected one process, since the head is fitted to all features at once, but got {trainer.world_size}; "
            "use trainer.devices=1."
        )


def _unheard(loss: nn.Module) -> Iterator[str]:
    options = {**vars(loss), **dict(loss.named_buffers(recurse=False))}
    for attribute, without in UNHEARD.items():
        value = options.get(attribute)
        if isinstance(value, Tensor) or value:
            yield (
                "Expected a loss with no other option than class_weight, since the head is fitted by a loss of its "
                f"own, but got {without.partition('=')[0]}; use {without}, or head=linear."
            )

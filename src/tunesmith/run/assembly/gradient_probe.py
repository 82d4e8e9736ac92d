"""Measure gradients before training, for policies that choose stages by them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from tunesmith.contract.parameters import HEAD
from tunesmith.contract.policy import GradientPolicy, Policy
from tunesmith.data.module import TableData
from tunesmith.run.assembly.plan import Plan
from tunesmith.task.base import Task


def mistakes(policy: Policy, world_size: int) -> Iterator[str]:
    """Check that a single process chooses the stages."""
    if isinstance(policy, GradientPolicy) and policy.undecided and world_size > 1:
        yield (
            "Expected policy.chosen on several devices, since each would choose for itself, but got null; a run on one "
            "device records its choice in config.yaml."
        )


def settled(plan: Plan, task: Task, data: TableData) -> tuple[Plan, dict[str, float]]:
    """Let an undecided `GradientPolicy` choose its stages.

    Returns:
        The plan with the choice, and the relative gradient of each stage; empty if there was nothing to choose.
    """
    policy = plan.model.build_policy()
    if not isinstance(policy, GradientPolicy) or not policy.undecided:
        return plan, {}
    gradients = relative_gradients(task, data)
    return replace(plan, model=plan.model.chosen(policy.choose(gradients))), gradients


def relative_gradients(task: Task, data: TableData) -> dict[str, float]:
    """Return gradient norm over weight norm, by stage of the backbone, on the first training batch.

    The gradient is that of the labels' loss, without other terms, in eval mode. Random states are restored.
    """
    with torch.random.fork_rng(devices=[]):
        batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
        task.eval()
        outputs, target, _ = task.counted(task(batch["input"]), batch)
        loss = task.loss(outputs, task.encode(target))
        names = {row.parameter.name: row.parameter.stage for row in task.table.rows if row.parameter.stage != HEAD}
        parameters = {name: p for name, p in task.named_parameters() if name in names}
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    task.train()
    squares: dict[str, tuple[float, float]] = {}
    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        pull, size = squares.get(names[name], (0.0, 0.0))
        pull += 0.0 if gradient is None else float(gradient.double().square().sum())
        squares[names[name]] = pull, size + float(parameter.detach().double().square().sum())
    return {stage: math.sqrt(pull / size) if size else 0.0 for stage, (pull, size) in squares.items()}

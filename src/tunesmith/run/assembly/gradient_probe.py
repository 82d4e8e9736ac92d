"""A look at the gradients before training, for policies that choose by them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from tunesmith.atomic import write_text
from tunesmith.config.redact import redact
from tunesmith.contract.parameters import HEAD, Policy
from tunesmith.errors import PolicyError


def settle(cfg: DictConfig, policy: Policy, task: Any, data: Any, world_size: int, folder: Path) -> dict[str, float]:
    """Let a policy choose its stages, where it has not, and keep the choice with the configuration of the run.

    Args:
        cfg: The configuration; ``policy.chosen`` is set, here and in the run folder.
        policy: Only one that has a method ``choose`` does.
        task: With everything trainable.
        data: Gives the batch.
        world_size: Number of processes.
        folder: The run folder.

    Returns:
        The relative gradient of each stage; empty where nothing was to be chosen.

    Raises:
        PolicyError: Several processes would have to come to one choice.
    """
    if not hasattr(policy, "choose") or cfg.policy.get("chosen") is not None:
        return {}
    if world_size > 1:
        raise PolicyError(
            "Expected policy.chosen on several devices, since each would choose for itself, but got null; a run on one "
            "device says in its config.yaml what it chose."
        )
    gradients = relative_gradients(task, data)
    OmegaConf.update(cfg, "policy.chosen", policy.choose(gradients), force_add=True)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(redact(cfg)))
    return gradients


def relative_gradients(task: Any, data: Any) -> dict[str, float]:
    """Norm of the gradient over norm of the weights, by stage of the backbone, on the first batch of training.

    The gradient is that of the labels' loss, also where texts without labels are learnt beside them.

    In eval mode and with the random streams put back, so that the task and the run are as if nobody had looked.

    Args:
        task: With its parameter table; it is left in training mode.
        data: The data module.
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

"""Optimizers and schedules, built from their configuration when their phase begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from tunesmith.compat.torch import let_trainer_unscale
from tunesmith.config.build import Node, accepts, build
from tunesmith.config.gate import Trust

FUSED = ("torch.optim.Adam", "torch.optim.AdamW")
"""Optimizers of which torch has one kernel for all parameters; that of SGD takes no momentum that began later."""


def weight_decay(node: Node, trust: Trust | None = None) -> float:
    """The optimizer's own default where the YAML says nothing; only the optimizer knows it."""
    probe: Optimizer = build(node, trust, params=[nn.Parameter(torch.zeros(1))])
    return float(probe.defaults.get("weight_decay", 0.0))


def build_optimizer(
    node: Node,
    groups: list[dict[str, Any]],
    own: Mapping[str, Any] | None = None,
    *,
    trust: Trust | None = None,
) -> Optimizer:
    """Build the optimizer of a phase; by one kernel for all parameters, unless the node says how.

    Args:
        node: The run's.
        groups: Of parameters.
        own: What the phase has for itself.
        trust: What the command may import.
    """
    node = _for_phase(node, own)
    # On a CPU torch's own choice takes seven times as long for AdamW, 7 % of a step of MiniLM.
    chosen = node["_target_"] not in FUSED or any(name in node for name in ("fused", "foreach", "differentiable"))
    optimizer: Optimizer = build(node, trust, params=groups, **({} if chosen else {"fused": True}))
    let_trainer_unscale(optimizer)  # Lightning (2.6) would not clip the gradients of one that does so by itself
    return optimizer


def _for_phase(node: Node, own: Mapping[str, Any] | None) -> Node:
    """What a phase has for itself: a target of its own, or the run's node with other arguments."""
    if own is None:
        return node
    inherited = {} if "_target_" in own else node
    return Node({**inherited, **own})


def build_scheduler(
    node: Node,
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    own: Mapping[str, Any] | None = None,
    *,
    trust: Trust | None = None,
) -> tuple[Any, Literal["step", "epoch"]]:
    """Build the schedule of a phase; give it with its interval.

    Args:
        node: The run's.
        optimizer: Of the phase.
        total_steps: Of the phase.
        steps_per_epoch: Of all.
        own: What the phase has for itself.
        trust: What the command may import.
    """
    node = _for_phase(node, own)
    offered = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    taken: dict[str, Any] = {k: v for k, v in offered.items() if accepts(node, k, trust)}
    return build(node, trust, optimizer=optimizer, **taken), "step" if "total_steps" in taken else "epoch"

"""Build optimizers and schedules from their configuration when their phase begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer

from tunesmith.compat.torch import let_trainer_unscale
from tunesmith.config.build import Node, accepts, build
from tunesmith.config.gate import Trust

FUSED = ("torch.optim.Adam", "torch.optim.AdamW")
"""Optimizers with a fused kernel; that of SGD does not support momentum buffers that begin later."""


def weight_decay(node: Node, trust: Trust | None = None) -> float:
    """Return the optimizer's weight decay, from its node or its own default."""
    probe: Optimizer = build(node, trust, params=[nn.Parameter(torch.zeros(1))])
    return float(probe.defaults.get("weight_decay", 0.0))


def build_optimizer(
    node: Node, groups: list[dict[str, object]], own: Mapping[str, object] | None = None, *, trust: Trust | None = None
) -> Optimizer:
    """Build the optimizer of a phase, fused unless its node chooses an implementation.

    ``own`` is the phase's own node: another target, or other arguments.
    """
    node = _for_phase(node, own)
    # torch's default takes seven times as long for AdamW on a CPU, 7 % of a step of MiniLM.
    chosen = node["_target_"] not in FUSED or any(name in node for name in ("fused", "foreach", "differentiable"))
    optimizer: Optimizer = build(node, trust, params=groups, **({} if chosen else {"fused": True}))
    let_trainer_unscale(optimizer)
    return optimizer


def _for_phase(node: Node, own: Mapping[str, object] | None) -> Node:
    if own is None:
        return node
    inherited = {} if "_target_" in own else node
    return Node({**inherited, **own})


def build_scheduler(
    node: Node,
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    own: Mapping[str, object] | None = None,
    *,
    trust: Trust | None = None,
) -> tuple[object, Literal["step", "epoch"]]:
    """Build the schedule of a phase; return it with its interval.

    ``own`` is the phase's own node; both numbers of steps count optimizer steps.
    """
    node = _for_phase(node, own)
    offered = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    taken = {k: v for k, v in offered.items() if accepts(node, k, trust)}
    return build(node, trust, optimizer=optimizer, **taken), "step" if "total_steps" in taken else "epoch"

"""Penalise the distance from the pretrained weights (L2-SP)."""

from __future__ import annotations

from typing import cast, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from tunesmith.contract.parameters import HEAD
from tunesmith.errors import ConfigError, RunError
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import digest


@final
class L2SP(Callback):
    """Pulls the backbone toward the weights that it starts with, and the head toward zero (Li et al. 2018, L2-SP).

    The penalty is ``alpha / 2`` times the squared distance of the backbone's parameters from their start, plus ``beta /
    2`` times the squared norm of the head's weights without biases. Frozen parameters have no penalty; those that thaw
    later are pulled to their values at the start of the run. Adapters are pulled to their neutral initial values.

    Args:
        alpha: Strength on the backbone.
        beta: Strength on the head.

    Raises:
        ConfigError: A strength is negative, or the optimizer has weight decay.
    """

    def __init__(self, alpha: float = 0.1, beta: float = 0.01) -> None:
        for name, value in (("alpha", alpha), ("beta", beta)):
            if value < 0:
                raise ConfigError(f"Expected callback.l2_sp.{name} to be 0 or more but got {value}.")
        self.alpha, self.beta = alpha, beta
        self._start: dict[str, Tensor] = {}
        self._heads: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the starting weights; a resumed run loads its checkpoint only later.

        Raises:
            ConfigError: The optimizer has weight decay.
        """
        if stage != "fit":
            return
        task = cast(Task, pl_module)
        if any(row.weight_decay for row in task.table.rows):
            raise ConfigError(
                "Expected optimizer.weight_decay=0 with callback.l2_sp, which has a decay of its own, but got "
                f"{max(row.weight_decay for row in task.table.rows)}."
            )
        rows = [row for row in task.table.rows if row.first_epoch is not None]
        names = {row.parameter.name for row in rows if row.parameter.stage != HEAD}
        self._start = {name: p.detach().clone() for name, p in task.named_parameters() if name in names}
        self._heads = [r.parameter.name for r in rows if r.parameter.stage == HEAD and r.parameter.ndim > 1]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the starting weights to the device."""
        self._start = {name: start.to(pl_module.device) for name, start in self._start.items()}

    @torch.no_grad()
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Add the penalty's closed-form gradient before gradients are clipped."""
        parameters = dict(pl_module.named_parameters())
        for name, start in self._start.items():
            gradient = parameters[name].grad
            if gradient is not None:
                gradient.add_(parameters[name] - start, alpha=self.alpha)
        for name in self._heads:
            gradient = parameters[name].grad
            if gradient is not None:
                gradient.add_(parameters[name], alpha=self.beta)

    def state_dict(self) -> dict[str, dict[str, str]]:
        """Return digests of the starting weights, which the weights' source provides."""
        return {"start": {name: digest(start) for name, start in self._start.items()}}

    def load_state_dict(self, state_dict: dict[str, dict[str, str]]) -> None:
        """Check that the starting weights are those of the original run.

        Raises:
            RunError: The weights' source provided other weights.
        """
        others = [
            n for n, known in state_dict["start"].items() if n not in self._start or digest(self._start[n]) != known
        ]
        if others:
            raise RunError(
                f"Expected callback.l2_sp to pull to the weights that the run began with but {len(others)} of "
                f"{len(state_dict['start'])} differ, first {others[0]}; restore the weights of backbone.weights."
            )

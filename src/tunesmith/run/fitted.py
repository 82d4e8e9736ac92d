"""What a run whose head is fitted, and not trained, needs to be otherwise."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from omegaconf import DictConfig, OmegaConf

from tunesmith.contracts import FittedHead
from tunesmith.errors import ConfigError, PolicyError
from tunesmith.parameters import HEAD

ONE_EPOCH = {
    "max_epochs": 1,
    "max_steps": -1,
    "val_check_interval": 1.0,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": None,
}
"""The trainer of a head that is fitted: it sees every sample once, is validated when fitted, and has no gradients."""


def settle(cfg: DictConfig, head: object) -> None:
    """Make the run one whole epoch long, whatever the configuration says, if its head is fitted."""
    if isinstance(head, FittedHead):
        for key, value in ONE_EPOCH.items():
            OmegaConf.update(cfg, f"trainer.{key}", value, force_add=True)


def check(task: Any, trainer: Trainer) -> None:
    """Refuse what a head that is fitted, if the task has one, cannot be combined with.

    Raises:
        PolicyError: Something in the backbone trains, or the head never does.
        ConfigError: Weights are averaged, or there are several processes.
    """
    if not isinstance(task.head, FittedHead):
        return
    rows = task.table.rows
    trains = sum(row.first_epoch is not None for row in rows if row.parameter.stage != HEAD)
    if trains or any(row.first_epoch != 0 for row in rows if row.parameter.stage == HEAD):
        raise PolicyError(
            "Expected a policy that trains the head alone, since it is fitted to the features of a frozen backbone, "
            f"but got one that trains {trains} tensors of the backbone; use policy=linear_probe."
        )
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set in a loop over connectors
    if any(isinstance(c, WeightAveraging | StochasticWeightAveraging) for c in callbacks):
        raise ConfigError(
            "Expected no averaging of weights, since the head is fitted in one go, but got some; "
            "leave callback=ema out, or use head=linear."
        )
    if trainer.world_size > 1:
        raise ConfigError(
            f"Expected one process, since the head is fitted to all features at once, but got {trainer.world_size}; "
            "use trainer.devices=1."
        )

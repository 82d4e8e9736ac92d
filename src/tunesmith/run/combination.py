"""What of a run is right by itself and wrong together."""

from __future__ import annotations

import logging
from typing import Any

from lightning.pytorch import Trainer
from omegaconf import DictConfig
from torch import nn

from tunesmith.errors import ConfigError

log = logging.getLogger(__name__)


def check_last_batch(task: Any, data: Any, trainer: Trainer) -> None:
    """Refuse a training batch of one picture where the head normalises over the batch.

    A BatchNorm of the backbone sees a map, which is many values a channel even of one picture.

    Raises:
        ConfigError: There would be such a batch.
    """
    if not any(isinstance(module, nn.BatchNorm1d) for module in task.head.modules()):
        return
    own = -(-len(data.indices["train"]) // trainer.world_size)  # as `EpochSampler` deals them
    whole, rest = divmod(own, data.batch_size)
    limit = trainer.limit_train_batches
    batches = whole + (rest > 0)
    served = min(limit, batches) if isinstance(limit, int) else int(batches * limit)
    if data.batch_size == 1 or (rest == 1 and not data.drop_last and served == batches):
        raise ConfigError(
            f"Expected at least two {data.table.what} in every training batch, since the head normalises over them, "
            f"but got a batch of one ({own} {data.table.what} in batches of {data.batch_size}); "
            "use data.drop_last=true, another data.batch_size or head.norm=layer."
        )


def warn_of_two_corrections(cfg: DictConfig) -> None:
    """Say that rare classes are made up for twice, by the sampler and by the loss."""
    if cfg.data.get("sampler") != "balanced":
        return
    loss = cfg.loss  # weights that are given, one a class, may be meant so
    option = "class_weight" if loss.get("class_weight") == "auto" else "logit_adjustment"
    if loss.get(option):
        log.warning(
            f"Expected one correction for rare classes but got data.sampler=balanced and loss.{option}={loss[option]}, "
            "which together favour them; use one of the two."
        )

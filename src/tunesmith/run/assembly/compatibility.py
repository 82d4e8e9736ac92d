"""What of a run is right by itself and wrong together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from omegaconf import DictConfig, OmegaConf
from torch import nn

from tunesmith.backbone.transformers.lm_head import LMHead
from tunesmith.config.build import target
from tunesmith.config.gate import Trust
from tunesmith.errors import ConfigError, PolicyError, nearest
from tunesmith.run.callback.l2_sp import L2SP
from tunesmith.run.callback.lr_find import RateFinder
from tunesmith.task.language import check_attention
from tunesmith.task.loss.agreement import drops
from tunesmith.task.optimization.sharded import Sharded

log = logging.getLogger(__name__)

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
"""Those in which shards are known to give the weights that DDP gives."""

ELEMENTWISE = ("torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW")
"""Optimizers of which that is known: they treat every element for itself."""

_WHOLE = (WeightAveraging, StochasticWeightAveraging, L2SP, RateFinder)
"""Callbacks that take weights to be whole."""


def check_last_batch(task: Any, data: Any, trainer: Trainer) -> None:
    """Refuse a training batch of one image where the head normalises over the batch.

    A BatchNorm of the backbone sees a map, which is many values a channel even of one image.

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


def check_unlabelled(task: Any) -> None:
    """Refuse texts without labels that nothing learns, and a joint objective without any, or with nothing to teach.

    Raises:
        ConfigError: It is so.
    """
    if task.lm_loss_weight and task.spec.unlabelled is None:
        raise ConfigError(
            f"Expected texts without labels for task.lm_loss_weight={task.lm_loss_weight} but got none; give "
            "data.unlabelled=<file>, or data.unlabelled=train for the training texts themselves."
        )
    if task.spec.unlabelled is not None and not task.lm_loss_weight:
        raise ConfigError(
            "Expected no data.unlabelled for a task that learns from labels alone but got some; use task=joint, or "
            "leave it out."
        )
    if task.lm_loss_weight and not _trains_backbone(task):
        raise ConfigError(
            f"Expected a policy that trains the backbone for task.lm_loss_weight={task.lm_loss_weight}, since texts "
            "without labels teach the head nothing of classes, but got one that freezes it; use "
            "task=classification with it."
        )


def check_end(trainer: Trainer) -> None:
    """Refuse a run whose number of steps nobody knows.

    Raises:
        ConfigError: It has none.
    """
    if trainer.max_epochs in (None, -1) and trainer.max_steps == -1:
        raise ConfigError(
            "Expected trainer.max_epochs or trainer.max_steps to say when training ends, since the schedule is laid "
            "over it, but got neither; give the most that it may take, and callback=[default,early_stopping]."
        )


def check_r_drop(task: Any) -> None:
    """Refuse to have two passes agree that do not differ, since nothing that trains drops anything out.

    Raises:
        ConfigError: It is so.
    """
    weight = getattr(task, "r_drop", 0)
    trained = [task.head, *([task.backbone] if _trains_backbone(task) else [])]
    if weight and not any(drops(module) for part in trained for module in part.modules()):
        raise ConfigError(
            f"Expected something with dropout that trains for task.r_drop={weight}, since passes differ by it, but got "
            "nothing; give head.dropout, let a backbone with dropout train, or leave task.r_drop out."
        )


def _trains_backbone(task: Any) -> bool:
    return any(name.startswith("backbone.") for phase in task.table.phases for name in phase.trainable)


def check_backbone(task: DictConfig, backbone: Any, trust: Trust | None = None) -> None:
    """Refuse a backbone that reads otherwise than the task wants, before any data are read.

    Raises:
        ConfigError: It does.
    """
    attention = task.get("attention") or getattr(target(task, trust), "attention", None)
    if attention:
        check_attention(backbone, attention)


def warn_of_random_lm_head(head: nn.Module) -> None:
    """Say which weights of a language model's own head neither its files nor another run gave."""
    for words in head.modules():
        if isinstance(words, LMHead) and words.random:
            log.warning(
                f"The model comes without {len(words.random)} of the {len(words.state_dict())} tensors of its "
                f"language-model head, first {words.random[0]}: they begin random."
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


def check_shards(cfg: DictConfig, task: Any, trainer: Trainer) -> None:
    """Refuse in shards whatever nobody has shown to give the weights there that DDP gives.

    Args:
        cfg: The configuration.
        task: The task, with its table.
        trainer: The trainer.

    Raises:
        PolicyError: There is something like that.
    """
    unknown = list(_unknown_in_shards(cfg, task, trainer)) if isinstance(trainer.strategy, Sharded) else []
    if unknown:
        raise PolicyError(
            "Expected only what is known to give the same weights in shards, with trainer=fsdp, but got "
            f"{' and '.join(unknown)}; use trainer=ddp."
        )


def _unknown_in_shards(cfg: DictConfig, task: Any, trainer: Any) -> Iterator[str]:
    yield from (type(callback).__name__ for callback in trainer.callbacks if isinstance(callback, _WHOLE))
    for node in (cfg.optimizer, *(phase.optimizer or {} for phase in task.table.phases)):
        if "_target_" in node and node["_target_"] not in ELEMENTWISE:
            yield f"optimizer {node['_target_']}"
    kinds = {
        "a policy that waits for a plateau": any(phase.plateau for phase in task.table.phases),
        "a head that is fitted": task.head_fit is not None,
        "two passes in a step (task.r_drop)": bool(getattr(task, "r_drop", 0)),
        "a model whose blocks use weights of each other, such as T5": not getattr(task.backbone, "apart", True),
        "a language model's own head, whose weights may be those of the embeddings": (
            hasattr(task.head, "lm_head") or hasattr(task.head, "language")
        ),
    }
    yield from (what for what, there in kinds.items() if there)
    for key in ("task.compile", "trainer.sync_batchnorm"):
        if OmegaConf.select(cfg, key):
            yield f"{key}=true"
    if trainer.precision not in PRECISIONS:
        yield f"trainer.precision={trainer.precision}"
    # Which has no rows to deal out, torch says.
    yield from (f"the single number {name}" for name, parameter in task.named_parameters() if not parameter.ndim)


def check_monitor(task: DictConfig, metrics: Mapping[str, Any]) -> None:
    """Refuse to watch what is no metric of the task, or in the wrong direction.

    Raises:
        ConfigError: It is so.
    """
    if task.monitor is None:
        return
    valid = {"val/loss": False} | {f"val/{name}": metric.higher_is_better for name, metric in metrics.items()}
    if task.monitor not in valid:
        raise ConfigError(
            f"Expected task.monitor to be a metric but got '{task.monitor}'.{nearest(task.monitor, valid)}"
        )
    mode = "max" if valid[task.monitor] else "min"
    if valid[task.monitor] is not None and task.mode != mode:
        raise ConfigError(f"Expected task.mode={mode} with task.monitor={task.monitor} but got {task.mode}.")

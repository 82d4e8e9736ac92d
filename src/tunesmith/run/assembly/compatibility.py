"""Check that the parts of a run are compatible.

Each check yields messages. They run at four points, each of which reports all its messages together: `of_plan` before
anything is built, `of_backbone` before data are read, `of_data` before the head is built, and `of_run` before training.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging, WeightAveraging
from torch import nn
from torchmetrics import Metric

from tunesmith.backbone.transformers.lm_head import LMHead
from tunesmith.config.build import accepts, target
from tunesmith.contract.protocols import Backbone
from tunesmith.contract.spec import DataSpec
from tunesmith.data.module import TableData
from tunesmith.errors import nearest
from tunesmith.head.language_model import LanguageModel
from tunesmith.run.assembly import fitted, gradient_probe, micro_batch
from tunesmith.run.assembly.plan import Model, Plan
from tunesmith.run.assembly.trainer import Trainer
from tunesmith.run.callback.l2_sp import L2SP
from tunesmith.run.callback.lr_find import RateFinder
from tunesmith.task.base import Task
from tunesmith.task.language import attention_mistakes
from tunesmith.task.loss.agreement import drops
from tunesmith.task.optimization.distributed import phases_mistakes, strategy_mistakes
from tunesmith.task.optimization.sharded import Sharded

log = logging.getLogger(__name__)

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
"""Precisions in which shards were shown to give the same weights as DDP."""

ELEMENTWISE = ("torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW")
"""Optimizers for which that was shown: they treat every element separately."""

_WHOLE = (WeightAveraging, StochasticWeightAveraging, L2SP, RateFinder)
"""Callbacks that need whole weights."""


# ── the four points ─────────────────────────────────────────────────────────────────────────────────────────────────


def of_plan(plan: Plan) -> Iterator[str]:
    """Check the configuration alone, before anything is built."""
    strategy = plan.trainer.get("strategy")
    if isinstance(strategy, str):
        yield from strategy_mistakes(strategy)
    yield from micro_batch.undivided(plan)
    yield from unlabelled(plan)


def of_backbone(model: Model, backbone: Backbone) -> Iterator[str]:
    """Check that the backbone has the attention that the task needs, before data are read."""
    attention = model.task.get("attention") or target(model.task, model.trust).attention
    if attention:
        yield from attention_mistakes(backbone, attention)


def of_data(model: Model, spec: DataSpec) -> Iterator[str]:
    """Check that the data suit the task, its metrics and its schedules, before the head is built."""
    unfit = list(target(model.task, model.trust).target_mistakes(spec))
    yield from unfit
    for name, node in () if unfit else metric_nodes(model, spec).items():  # else they belong to another target
        if not spec.class_names and accepts(node, "num_classes", model.trust):
            yield f"Expected no metric of classes where there are none but got task.metrics.{name}; leave it out."
    plateaus = [node for node in model.schedules if str(node.get("_target_", "")).endswith("ReduceLROnPlateau")]
    if plateaus and model.monitor is None:
        yield "Expected a validation split for a schedule that waits for a plateau but got none."


def of_run(plan: Plan, task: Task, data: TableData, trainer: Trainer) -> Iterator[str]:
    """Check the built parts before training."""
    yield from validation(plan, task, data, trainer)
    yield from agreement(task)
    yield from joint(task)
    yield from fitted.mistakes(task, trainer)
    yield from endless(trainer)
    yield from micro_batch.mistakes(plan, task, data, trainer)
    yield from last_batch(task, data, trainer)
    yield from gradient_probe.mistakes(plan.model.build_policy(), trainer.world_size)
    yield from phases_mistakes(trainer.strategy, len(task.table.phases))
    yield from shards(plan, task, trainer)


# ── the checks ──────────────────────────────────────────────────────────────────────────────────────────────────────


def metric_nodes(model: Model, spec: DataSpec) -> dict[str, Mapping[str, object]]:
    """Return the nodes of the task's metrics by name, without top-k metrics of k or fewer classes."""
    metrics = model.task["metrics"]
    return {n: m for n, m in metrics.items() if (m.get("top_k") or 1) < max(2, len(spec.class_names))}


def monitored(model: Model, metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Check that the monitored metric is one of the task's, and its mode."""
    if model.monitor is None:
        return
    valid = {"val/loss": False} | {f"val/{name}": metric.higher_is_better for name, metric in metrics.items()}
    if model.monitor not in valid:
        yield f"Expected task.monitor to be a metric but got '{model.monitor}'.{nearest(model.monitor, valid)}"
        return
    mode = "max" if valid[model.monitor] else "min"
    if valid[model.monitor] is not None and model.task["mode"] != mode:
        yield f"Expected task.mode={mode} with task.monitor={model.monitor} but got {model.task['mode']}."


def unlabelled(plan: Plan) -> Iterator[str]:
    """Check that texts without labels are given exactly if a task learns from them."""
    weight, given = plan.model.task.get("lm_loss_weight"), plan.data.get("unlabelled") is not None
    if weight and not given:
        yield (
            f"Expected texts without labels for task.lm_loss_weight={weight} but got none; give "
            "data.unlabelled=<file>, or data.unlabelled=train for the training texts themselves."
        )
    if given and weight == 0:
        yield (
            "Expected task.lm_loss_weight to be above 0 with data.unlabelled but got 0; use task=classification "
            "without them to see what it gives."
        )
    if given and weight is None:
        yield (
            "Expected no data.unlabelled for a task that learns from labels alone but got some; use task=joint, or "
            "leave it out."
        )


def joint(task: Task) -> Iterator[str]:
    """Check that the backbone trains if texts without labels are to teach it."""
    if task.lm_loss_weight and not _trains_backbone(task):
        yield (
            f"Expected a policy that trains the backbone for task.lm_loss_weight={task.lm_loss_weight}, since texts "
            "without labels teach the head nothing of classes, but got one that freezes it; use "
            "task=classification with it."
        )


def agreement(task: Task) -> Iterator[str]:
    """Check that R-Drop's two passes differ: some trained part must have dropout."""
    trained = [task.get_submodule(n) for n in ("head", *(["backbone"] if _trains_backbone(task) else []))]
    if task.r_drop and not any(drops(module) for part in trained for module in part.modules()):
        yield (
            f"Expected something with dropout that trains for task.r_drop={task.r_drop}, since passes differ by it, "
            "but got nothing; give head.dropout, let a backbone with dropout train, or leave task.r_drop out."
        )


def validation(plan: Plan, task: Task, data: TableData, trainer: Trainer) -> Iterator[str]:
    """Check that there is a validation split, or a best checkpoint, for what needs one."""
    if task.calibrates and "val" not in data.counts():
        yield "Expected a validation split to fit task.temperature and task.threshold on but got none."
    if task.monitor is None and any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks):
        yield "Expected a validation split for early stopping but got none."
    if task.monitor is None and any(phase.plateau for phase in task.table.phases):
        yield "Expected a validation split for a policy that waits for a plateau but got none."
    if plan.test == "best" and not any(isinstance(callback, ModelCheckpoint) for callback in trainer.callbacks):
        yield "Expected callbacks that keep the best weights but got none: add default, or use test=last."


def endless(trainer: Trainer) -> Iterator[str]:
    """Check that the number of steps is bounded."""
    if trainer.max_epochs in (None, -1) and trainer.max_steps == -1:
        yield (
            "Expected trainer.max_epochs or trainer.max_steps to say when training ends, since the schedule is laid "
            "over it, but got neither; give the most that it may take, and callback=[default,early_stopping]."
        )


def last_batch(task: Task, data: TableData, trainer: Trainer) -> Iterator[str]:
    """Check that no training batch has a single sample if the head normalises over the batch.

    BatchNorm in the backbone sees maps, with many values per channel even for one image.
    """
    if not any(isinstance(module, nn.BatchNorm1d) for module in task.get_submodule("head").modules()):
        return
    own = -(-len(data.indices["train"]) // trainer.world_size)  # as `EpochSampler` deals them
    whole, rest = divmod(own, data.batch_size)
    limit = trainer.limit_train_batches
    batches = whole + (rest > 0)
    served = min(limit, batches) if isinstance(limit, int) else int(batches * limit)
    if data.batch_size == 1 or (rest == 1 and not data.drop_last and served == batches):
        yield (
            f"Expected at least two {data.table.what} in every training batch, since the head normalises over them, "
            f"but got a batch of one ({own} {data.table.what} in batches of {data.batch_size}); "
            "use data.drop_last=true, another data.batch_size or head.norm=layer."
        )


def shards(plan: Plan, task: Task, trainer: Trainer) -> Iterator[str]:
    """Check that only parts are sharded for which the same weights as with DDP were shown."""
    unknown = list(_unknown_in_shards(plan, task, trainer)) if isinstance(trainer.strategy, Sharded) else []
    if unknown:
        yield (
            "Expected only what is known to give the same weights in shards, with trainer=fsdp, but got "
            f"{' and '.join(unknown)}; use trainer=ddp."
        )


def _unknown_in_shards(plan: Plan, task: Task, trainer: Trainer) -> Iterator[str]:
    yield from (type(callback).__name__ for callback in trainer.callbacks if isinstance(callback, _WHOLE))
    for node in (plan.model.optimizer, *(phase.optimizer or {} for phase in task.table.phases)):
        if "_target_" in node and node["_target_"] not in ELEMENTWISE:
            yield f"optimizer {node['_target_']}"
    kinds = {
        "a policy that waits for a plateau": any(phase.plateau for phase in task.table.phases),
        "a head that is fitted": task.head_fit is not None,
        "two passes in a step (task.r_drop)": bool(task.r_drop),
        "a model whose blocks use weights of each other, such as T5": not task.backbone.apart,
        "a language model's own head, whose weights may be those of the embeddings": any(
            isinstance(module, LanguageModel) for module in task.get_submodule("head").modules()
        ),
        "task.compile=true": bool(plan.model.task.get("compile")),
        "trainer.sync_batchnorm=true": bool(plan.trainer.get("sync_batchnorm")),
    }
    yield from (what for what, there in kinds.items() if there)
    if trainer.precision not in PRECISIONS:
        yield f"trainer.precision={trainer.precision}"
    # torch cannot shard a tensor without rows.
    yield from (f"the single number {name}" for name, parameter in task.named_parameters() if not parameter.ndim)


def _trains_backbone(task: Task) -> bool:
    return any(name.startswith("backbone.") for phase in task.table.phases for name in phase.trainable)


# ── warnings ────────────────────────────────────────────────────────────────────────────────────────────────────────


def warn_of_random_lm_head(head: nn.Module) -> None:
    """Warn of weights of a language model's own head that are initialised at random."""
    for words in head.modules():
        if isinstance(words, LMHead) and words.random:
            log.warning(
                f"The model comes without {len(words.random)} of the {len(words.state_dict())} tensors of its "
                f"language-model head, first {words.random[0]}: they are initialised at random."
            )


def warn_of_two_corrections(plan: Plan) -> None:
    """Warn of two corrections for rare classes, by the sampler and by the loss."""
    if plan.data.get("sampler") != "balanced":
        return
    loss = plan.model.loss  # explicit weights per class may be deliberate
    option = "class_weight" if loss.get("class_weight") == "auto" else "logit_adjustment"
    if loss.get(option):
        log.warning(
            f"Expected one correction for rare classes but got data.sampler=balanced and loss.{option}={loss[option]}, "
            "which together favour them; use one of the two."
        )

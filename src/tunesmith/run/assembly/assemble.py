"""Assemble a run: build data, task and trainer from a configuration."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig
from torch import Tensor, nn

from tunesmith.cache.callback import ActivationCache
from tunesmith.config.build import accepts, build, build_accepted, target
from tunesmith.contract import protocols as contract
from tunesmith.contract.data_module import DataModule
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.protocols import Backbone
from tunesmith.contract.spec import DataSpec
from tunesmith.data.module import TableData
from tunesmith.data.text.tokenizer import Keep
from tunesmith.errors import ConfigError, raise_together
from tunesmith.run.assembly import compatibility, fitted, gradient_probe, micro_batch
from tunesmith.run.assembly.optimizer import build_optimizer, build_scheduler, weight_decay
from tunesmith.run.assembly.plan import Model, Plan
from tunesmith.run.assembly.table import make_table, warn_of_short_run
from tunesmith.run.assembly.trainer import Trainer
from tunesmith.run.callback.callback import Collect, Throughput
from tunesmith.run.callback.non_finite import Finite
from tunesmith.run.callback.phase import PhaseChange
from tunesmith.run.callback.self_check import SelfCheck
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.run.record.schema import Record
from tunesmith.run.resume.checkpoint import CheckpointIO
from tunesmith.run.resume.last_checkpoint import LastCheckpoint
from tunesmith.run.session import Session
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import Base
from tunesmith.task.optimization.freeze import frozen_names

if TYPE_CHECKING:
    from tunesmith.run.assembly.init_weights import Init


@dataclass(frozen=True)
class Watch:
    """The callbacks of every run that are read after training."""

    phases: PhaseChange = field(default_factory=PhaseChange)
    throughput: Throughput = field(default_factory=Throughput)
    collect: Collect = field(default_factory=Collect)
    self_check: SelfCheck = field(default_factory=SelfCheck)


@dataclass(frozen=True)
class Parts:
    """The parts of a run.

    Attributes:
        plan: Plan with everything that was settled during assembly.
        data: Data module after `setup`.
        task: The task.
        trainer: The trainer.
        throughput: Measures samples per second.
        collect: Collects what test steps return.
        self_check: Checks that frozen weights keep their bits.
        phases: Changes phases.
        data_seconds: Seconds spent on reading the data.
        gradients: Relative gradient of each stage, if the policy chose by them; else empty.
        start: Initial values of the backbone's trainable weights for ``test=wise_ft``; else empty.
        micro_batches: How batches are divided; ``None`` if they are not.
    """

    plan: Plan
    data: TableData
    task: Task
    trainer: Trainer
    throughput: Throughput
    collect: Collect
    self_check: SelfCheck
    phases: PhaseChange
    data_seconds: float
    gradients: dict[str, float]
    start: dict[str, Tensor]
    micro_batches: micro_batch.MicroBatches | None


def assemble(
    cfg: DictConfig, folder: Path, record: Record, init: Init | None = None, session: Session | None = None
) -> Parts:
    """Build everything for a training run.

    Without a validation split the plan's ``task.monitor`` becomes null, and the last weights count as the best.

    Args:
        cfg: Configuration; it is not modified.
        folder: Run folder.
        record: Content of run.json.
        init: Weights of another run to start from; loaded into the backbone before adapters, and into a matching head.
        session: The command's session; ``None`` to read it from the environment.

    Raises:
        ConfigError: The parts are incompatible.
    """
    session = session or Session.read()
    plan, watch = Plan.of(cfg, session.trust), Watch()
    raise_together(compatibility.of_plan(plan))
    backbone: Backbone = build(plan.backbone, session.trust)
    raise_together(compatibility.of_backbone(plan.model, backbone))
    base = Base.of(backbone)
    if init:
        init.put_backbone(backbone.net)
    start = time.perf_counter()
    place = {"folder": plan.cache_folder, "console": session.console}
    cache: ActivationCache | None = build_accepted(plan.cache, session.trust, **place)
    data = assemble_data(plan.data, backbone.preprocess, keep=cache and cache.tokens, session=session)
    data_seconds = time.perf_counter() - start
    if "val" not in data.counts() or plan.trainer.get("limit_val_batches") == 0:
        plan = plan.without_monitor()
    task = assemble_task(plan.model, backbone, data.spec)
    task.base = base
    introduce(task, data)
    if init:
        init.put_head(task.get_submodule("head"), data.spec)
    plan = fitted.settled(plan, task.head)
    trainer = assemble_trainer(plan, watch, folder, record, cache, session)
    raise_together(compatibility.of_run(plan, task, data, trainer))
    compatibility.warn_of_random_lm_head(task.get_submodule("head"))
    compatibility.warn_of_two_corrections(plan)
    cut = micro_batch.settle(plan, task, data, trainer, record)
    raise_together(compatibility.last_batch(task, data, trainer))
    plan, gradients = gradient_probe.settled(plan, task, data)
    if gradients:
        task.table = lay_out(plan.model, backbone, task.get_submodule("head"))
    warn_of_short_run(task.table, trainer)
    # Lightning (2.6) converts only after averages were set up in float32, which would round a checkpoint's doubles.
    trainer.strategy.precision_plugin.convert_module(task)
    watched = (watch.throughput, watch.collect, watch.self_check, watch.phases)
    return Parts(plan, data, task, trainer, *watched, data_seconds, gradients, _start(plan, task), cut)


def assemble_data(
    node: DictConfig | Mapping[str, object],
    preprocess: Preprocess,
    stage: str = "fit",
    keep: Keep | None = None,
    session: Session | None = None,
) -> TableData:
    """Build a data module and read the data, so that its `DataSpec` is known.

    Args:
        node: The configuration's ``data``.
        preprocess: The backbone's input format.
        stage: Lightning's stage; ``fit`` also reads what only training needs.
        keep: Caches the tokens of texts.
        session: The command's session; ``None`` to read it from the environment.
    """
    session = session or Session.read()
    data: TableData = build(node, session.trust)
    data.watches = session.watches
    data.connect(preprocess)
    data.keep_tokens(keep)
    data.prepare_data()
    data.setup(stage)
    return data


def introduce(task: contract.Task, data: DataModule) -> None:
    """Give a task and a data module what they need of each other; neither sees the other."""
    task.vocabulary = data.vocabulary
    data.count_by(task.counts)


def assemble_task(model: Model, backbone: Backbone, spec: DataSpec) -> Task:
    """Build the task around a backbone, with a head sized from backbone and data, and a table of policy and rates.

    Raises:
        ConfigError: The data do not suit the task, or the monitored metric is not one of its metrics.
    """
    policy = model.build_policy()
    policy.adapt(backbone)
    if policy.contiguous:
        model = model.contiguous()
    raise_together(compatibility.of_data(model, spec))
    nodes, names = compatibility.metric_nodes(model, spec), names_of(spec)
    metrics = {name: build_accepted(node, model.trust, **names) for name, node in nodes.items()}
    raise_together(compatibility.monitored(model, metrics))
    head = build_head(model, backbone, spec)
    task: Task = build(
        model.task,
        model.trust,
        backbone=backbone,
        head=head,
        loss=build_accepted(model.loss, model.trust, train_counts=spec.train_counts, train_size=spec.train_size),
        metrics=metrics,
        table=lay_out(model, backbone, head),
        optimizer=functools.partial(build_optimizer, model.optimizer, trust=model.trust),
        scheduler=functools.partial(build_scheduler, model.scheduler, trust=model.trust),
        spec=spec,
    )
    return task


def names_of(spec: DataSpec) -> dict[str, int | tuple[str, ...]]:
    """Return the arguments that a metric may take: number of classes, labels or values, and their names."""
    number = len(spec.class_names)
    return {"num_classes": number, "num_labels": number, "num_outputs": number, "class_names": spec.class_names}


def build_head(model: Model, backbone: Backbone, spec: DataSpec) -> nn.Module:
    """Build the head with those arguments that its signature names."""
    outputs = target(model.task, model.trust).num_outputs(spec)
    found: dict[str, Callable[[], object]] = {  # costly: a forward pass, or reading files
        "stage_dims": backbone.stage_dims,
        "map_info": backbone.map_info,
        "lm_head": backbone.lm_head,
    }
    more = {name: find() for name, find in found.items() if accepts(model.head, name, model.trust)}
    offered = {"feature_dim": backbone.feature_dim, "num_outputs": outputs, "target": spec.target}
    head: nn.Module = build_accepted(model.head, model.trust, **offered, **more)
    return head


def lay_out(model: Model, backbone: Backbone, head: nn.Module) -> ParameterTable:
    """Make the parameter table from policy and rates."""
    policy, rates = model.build_policy(), build(model.rates, model.trust)
    return make_table(backbone, head, policy, rates, weight_decay(model.optimizer, model.trust))


def assemble_trainer(
    plan: Plan, watch: Watch, folder: Path, record: Record, cache: ActivationCache | None, session: Session
) -> Trainer:
    """Build the trainer with the configured callbacks and loggers, and those of every run.

    Raises:
        ConfigError: Lightning rejects its options.
    """
    trust, own = session.trust, {"stop": session.stop, "console": session.console}
    callbacks: list[Callback] = [
        watch.phases,
        watch.throughput,
        watch.collect,
        watch.self_check,
        *([cache] if cache else []),
        *(build_accepted(node, trust, **own) for node in plan.callbacks.values()),
    ]
    callbacks.sort(key=lambda callback: not isinstance(callback, LastCheckpoint))  # it must come first
    if not any(isinstance(callback, Finite) for callback in callbacks):
        callbacks.append(Finite())
    loggers: list[Logger] = [MetricsLog(folder)]
    loggers += [build_accepted(node, trust, folder=folder, record=record) for node in plan.loggers.values()]
    given = {"callbacks": callbacks, "logger": loggers, "default_root_dir": str(folder)}
    foreign = bool(record.get("repeats") or record.get("resumed"))
    plugins = [CheckpointIO(session.stop, folder if foreign else None)]
    # Lightning would add its own progress bar and checkpoints.
    flags = {
        flag: False
        for flag, kind in (("enable_progress_bar", RichProgressBar), ("enable_checkpointing", ModelCheckpoint))
        if not any(isinstance(c, kind) for c in callbacks)
    }
    try:
        trainer: Trainer = build(plan.trainer, trust, **given, **flags, plugins=plugins)
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(f"Expected options that the trainer can be built with but got an error: {error}") from error
    return trainer


def _start(plan: Plan, task: Task) -> dict[str, Tensor]:
    """Copy the backbone weights that training changes, for ``test=wise_ft``; none with adapters."""
    if plan.test != "wise_ft" or plan.model.build_policy().adapts:
        return {}
    frozen = set(frozen_names(task, [phase.trainable for phase in task.table.phases]))
    moving = {n: t for n, t in task.state_dict().items() if n.startswith("backbone.") and n not in frozen}
    return {name: tensor.cpu().clone() for name, tensor in moving.items() if tensor.is_floating_point()}

"""The one place where objects meet: configuration in, data, task and trainer out, ready to fit."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from tunesmith.config.build import accepts, build, build_accepted, target
from tunesmith.config.gate import Trust
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.protocols import Backbone
from tunesmith.contract.spec import DataSpec
from tunesmith.data.spec import members
from tunesmith.errors import ConfigError
from tunesmith.run.assembly import compatibility, fitted, gradient_probe, micro_batch
from tunesmith.run.assembly.optimizer import build_optimizer, build_scheduler, weight_decay
from tunesmith.run.assembly.table import check_phases_fit, make_table, phases_in_record
from tunesmith.run.callback.callback import Collect, Throughput
from tunesmith.run.callback.non_finite import Finite
from tunesmith.run.callback.phase import PhaseChange
from tunesmith.run.callback.self_check import SelfCheck
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.run.resume.checkpoint import CheckpointIO
from tunesmith.run.resume.last_checkpoint import LastCheckpoint
from tunesmith.run.session import Session
from tunesmith.task.optimization.delta import Base
from tunesmith.task.optimization.distributed import check_phases, check_strategy
from tunesmith.task.optimization.freeze import frozen_names

if TYPE_CHECKING:
    from tunesmith.cache.callback import ActivationCache
    from tunesmith.data.text.tokenizer import Keep
    from tunesmith.run.assembly.init_weights import Init

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """All that a run is made of; ``start`` is what trainable weights of the backbone are before any training."""

    data: Any
    task: Any
    trainer: Trainer
    throughput: Throughput
    collect: Collect
    self_check: SelfCheck
    phases: PhaseChange
    data_seconds: float
    gradients: dict[str, float]
    start: dict[str, Tensor]
    micro_batches: micro_batch.MicroBatches | None


def assemble_data(
    node: DictConfig,
    preprocess: Preprocess,
    stage: str = "fit",
    keep: Keep | None = None,
    session: Session | None = None,
) -> Any:
    """Build a data module and read the data, so that its `DataSpec` is there; what only training needs, for ``fit``.

    Args:
        node: The data's part of the configuration.
        preprocess: As the backbone wants its inputs.
        stage: As Lightning calls it.
        keep: Keeps the tokens of texts.
        session: What the command has of its own.
    """
    session = session or Session.read()
    data = build(node, session.trust)
    data.watches = session.watches
    data.connect(preprocess)
    if hasattr(data, "tokenizer"):
        data.tokenizer.keep = keep
    data.prepare_data()
    data.setup(stage)
    return data


def assemble_task(cfg: DictConfig, backbone: Backbone, spec: DataSpec, trust: Trust | None = None) -> Any:
    """Build the task around a backbone: head sized from backbone and data, table from policy and rates."""
    policy = _policy(cfg, trust)
    if hasattr(policy, "adapt"):
        policy.adapt(backbone)
        if policy.contiguous:
            OmegaConf.update(cfg, "task.channels_last", False)
    target(cfg.task, trust).check_target(spec)  # before a head is made for outputs that there are none of
    outputs = target(cfg.task, trust).num_outputs(spec)
    levels = {"stage_dims": backbone.stage_dims()} if accepts(cfg.head, "stage_dims", trust) else {}
    maps = {"map_info": backbone.map_info()} if accepts(cfg.head, "map_info", trust) else {}
    kind = {"target": spec.target} if accepts(cfg.head, "target", trust) else {}
    lm_head = {"lm_head": _lm_head(backbone)} if accepts(cfg.head, "lm_head", trust) else {}
    head = build_accepted(
        cfg.head, trust, feature_dim=backbone.feature_dim, num_outputs=outputs, **levels, **maps, **kind, **lm_head
    )
    names: dict[str, Any] = dict.fromkeys(("num_classes", "num_labels", "num_outputs"), len(spec.class_names))
    names["class_names"] = spec.class_names
    # The k best of k classes always hold the right one: such a metric is left out.
    nodes = {n: m for n, m in cfg.task.metrics.items() if (m.get("top_k") or 1) < max(2, len(spec.class_names))}
    for name, node in nodes.items():
        if not spec.class_names and accepts(node, "num_classes", trust):
            raise ConfigError(
                f"Expected no metric of classes where there are none but got task.metrics.{name}; leave it out."
            )
    metrics = {name: build_accepted(node, trust, **names) for name, node in nodes.items()}
    compatibility.check_monitor(cfg.task, metrics)
    for schedule in (cfg.scheduler, *(p.get("scheduler") for p in cfg.policy.get("phases", ()))):
        _check_schedule(cfg.task, schedule or {})
    return build(
        cfg.task,
        trust,
        backbone=backbone,
        head=head,
        loss=build_accepted(cfg.loss, trust, train_counts=spec.train_counts, train_size=spec.train_size),
        metrics=metrics,
        table=_table(cfg, backbone, head, trust),
        optimizer=functools.partial(build_optimizer, cfg.optimizer, trust=trust),
        scheduler=functools.partial(build_scheduler, cfg.scheduler, trust=trust),
        spec=spec,
    )


def _lm_head(backbone: Any) -> Any:
    """The head that a language model was pretrained with; ``None`` where the backbone has none."""
    return backbone.lm_head() if hasattr(backbone, "lm_head") else None


def _table(cfg: DictConfig, backbone: Backbone, head: nn.Module, trust: Trust | None) -> ParameterTable:
    policy, rates = _policy(cfg, trust), build(cfg.rates, trust)
    return make_table(backbone, head, policy, rates, weight_decay(cfg.optimizer, trust))


def _policy(cfg: DictConfig, trust: Trust | None) -> Any:
    # Optimizers and schedules of phases are built when their phase begins.
    return build(cfg.policy, trust, _recursive_=False)


def assemble_trainer(
    cfg: DictConfig, folder: Path, record: Mapping[str, Any], cache: ActivationCache | None, session: Session
) -> tuple[Trainer, Throughput, Collect, SelfCheck, PhaseChange]:
    """Build the trainer with the configured callbacks and loggers, and those that every run has."""
    throughput, collect, self_check, phases = Throughput(), Collect(), SelfCheck(), PhaseChange()
    trust, own = session.trust, {"stop": session.stop, "console": session.console}
    callbacks: list[Callback] = [
        phases,
        throughput,
        collect,
        self_check,
        *([cache] if cache else []),
        *(build_accepted(n, trust, **own) for n in cfg.callback.values() if n),
    ]
    callbacks.sort(key=lambda callback: not isinstance(callback, LastCheckpoint))  # see there
    if not any(isinstance(callback, Finite) for callback in callbacks):
        callbacks.append(Finite())
    if cfg.task.monitor is None and any(isinstance(c, EarlyStopping) for c in callbacks):
        raise ConfigError("Expected a validation split for early stopping but got none.")
    loggers: list[Logger] = [MetricsLog(folder)]
    for node in cfg.logger.values():
        loggers.append(build_accepted(node, trust, folder=folder, record=record))
    given = {"callbacks": callbacks, "logger": loggers, "default_root_dir": str(folder)}
    plugins = [CheckpointIO(session.stop)]
    # Lightning would add a bar and checkpoints of its own where there are none of ours.
    flags = {
        flag: False
        for flag, kind in (("enable_progress_bar", RichProgressBar), ("enable_checkpointing", ModelCheckpoint))
        if not any(isinstance(c, kind) for c in callbacks)
    }
    if isinstance(cfg.trainer.get("strategy"), str):
        check_strategy(cfg.trainer.strategy)
    if "enable_checkpointing" in flags and cfg.test == "best":
        raise ConfigError("Expected callbacks that keep the best weights but got none: add default, or use test=last.")
    try:
        trainer = build(cfg.trainer, trust, **given, **flags, plugins=plugins)
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(f"Expected options that the trainer can be built with but got an error: {error}") from error
    return trainer, throughput, collect, self_check, phases


def assemble(
    cfg: DictConfig, folder: Path, record: Mapping[str, Any], init: Init | None = None, session: Session | None = None
) -> Parts:
    """Build everything for a training run.

    Without a validation split there is nothing to monitor: ``task.monitor`` becomes null, and the last weights count
    as the best.

    Args:
        cfg: The configuration; what is settled on the way is put into it.
        folder: The run folder.
        record: What run.json holds.
        init: Weights of another run to begin with; the backbone gets them before adapters, the head if it can.
        session: What the command has of its own; ``None``, as from Python, to read it from what surrounds it.
    """
    session = session or Session.read()
    trust = session.trust
    backbone = build(cfg.backbone, trust)
    compatibility.check_backbone(cfg.task, backbone, trust)
    base = Base.of(backbone)
    if init:
        init.put_backbone(backbone.net)
    start = time.perf_counter()
    place = {"folder": OmegaConf.select(cfg, "paths.cache"), "console": session.console}
    cache = build_accepted(OmegaConf.select(cfg, "cache"), trust, **place)
    data = assemble_data(cfg.data, backbone.preprocess, keep=cache and cache.tokens, session=session)
    data_seconds = time.perf_counter() - start
    if "val" not in data.counts() or cfg.trainer.get("limit_val_batches") == 0:
        _watch_nothing(cfg)
    task = assemble_task(cfg, backbone, data.spec, trust)
    task.base = base
    data.count_by(task.counts)
    compatibility.check_unlabelled(task)
    compatibility.check_r_drop(task)
    if init:
        init.put_head(task.head, data.spec)
    compatibility.warn_of_random_lm_head(task.head)
    if task.calibrates and "val" not in data.counts():
        raise ConfigError("Expected a validation split to fit task.temperature and task.threshold on but got none.")
    fitted.settle(cfg, task.head)
    watched = assemble_trainer(cfg, folder, record, cache, session)
    trainer = watched[0]
    fitted.check(task, trainer)
    compatibility.check_end(trainer)
    cut = micro_batch.settle(task, data, trainer, record)
    compatibility.check_last_batch(task, data, trainer)
    compatibility.warn_of_two_corrections(cfg)
    gradients = gradient_probe.settle(cfg, _policy(cfg, trust), task, data, trainer.world_size, folder)
    if gradients:
        task.table = _table(cfg, backbone, task.head, trust)
    check_phases_fit(task, trainer)
    check_phases(trainer.strategy, len(task.table.phases))
    compatibility.check_shards(cfg, task, trainer)
    # Lightning (2.6) does so when averages have been set up in float32, and a checkpoint's doubles rounded to it.
    trainer.strategy.precision_plugin.convert_module(task)
    if cut:
        OmegaConf.update(cfg, "trainer.micro_batch_size", cut.micro_batch_size)
    return Parts(data, task, *watched, data_seconds, gradients, _start(cfg, task, trust), cut)


def _watch_nothing(cfg: DictConfig) -> None:
    """Leave callbacks no metric either; where a run goes on, its recorded configuration names the task's for each."""
    watched = cfg.task.monitor
    for name, node in cfg.callback.items():
        if node and watched is not None and node.get("monitor") == watched:
            OmegaConf.update(cfg, f"callback.{name}.monitor", None)
    OmegaConf.update(cfg, "task.monitor", None)


def _start(cfg: DictConfig, task: Any, trust: Trust) -> dict[str, Tensor]:
    """Copy what training is about to change in the backbone, where the way back to it is to be tried; no adapters."""
    if cfg.test != "wise_ft" or hasattr(_policy(cfg, trust), "adapt"):
        return {}
    frozen = set(frozen_names(task, [phase.trainable for phase in task.table.phases]))
    moving = {n: t for n, t in task.state_dict().items() if n.startswith("backbone.") and n not in frozen}
    return {name: tensor.cpu().clone() for name, tensor in moving.items() if tensor.is_floating_point()}


def _check_schedule(task: DictConfig, schedule: Mapping[str, Any]) -> None:
    if task.monitor is None and str(schedule.get("_target_", "")).endswith("ReduceLROnPlateau"):
        raise ConfigError("Expected a validation split for a schedule that waits for a plateau but got none.")


def describe(parts: Parts) -> dict[str, Any]:
    """What run.json says of data, weights, policy and the metric that chooses the best epoch."""
    data, table, weights = parts.data, parts.task.table, parts.task.backbone.weights
    spec = asdict(data.spec) | {"class_names": list(data.spec.class_names)}
    return {
        "monitor": {"metric": parts.task.monitor, "mode": parts.task.mode},
        "data": {
            **spec,
            "preprocess": asdict(data.preprocess),
            "splits": data.counts(),
            "members": members(data.table, data.indices),
            "bad_files": data.bad_files,
        },
        "weights": asdict(weights),
        **({"batch": asdict(parts.micro_batches)} if parts.micro_batches else {}),
        "policy": {
            **({"gradients": parts.gradients} if parts.gradients else {}),
            **table.counts(0),
            "phases": phases_in_record(table),
            "stages": [s.name for s in parts.task.backbone.stages],
        },
    }

"""The plan of a run: its configuration, resolved once, with what is settled on the way laid over it by copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tunesmith.config.build import Node, build, resolved
from tunesmith.config.gate import Trust
from tunesmith.contract.policy import Policy
from tunesmith.errors import ConfigError


@dataclass(frozen=True)
class Model:
    """The nodes that a task is built from, besides its backbone.

    Attributes:
        policy: What trains when.
        rates: How fast.
        head: The head.
        loss: The loss.
        task: The task, with its metrics.
        optimizer: The optimizer of the run; phases may have others.
        scheduler: Its schedule; empty for none.
        trust: What the command may import; ``None`` for what the user allows whatever the command.
    """

    policy: Node
    rates: Node
    head: Node
    loss: Node
    task: Node
    optimizer: Node
    scheduler: Node
    trust: Trust | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of(cfg: DictConfig, trust: Trust | None = None) -> Model:
        """Resolve the part of a configuration that evaluation needs too, and nothing else in it."""
        names = ("policy", "rates", "head", "loss", "task", "optimizer", "scheduler")
        return Model(**{name: resolved(cfg[name]) for name in names}, trust=trust)

    @property
    def monitor(self) -> str | None:
        """The metric that decides which weights are best; ``None`` without a validation split."""
        monitor: str | None = self.task.get("monitor")
        return monitor

    @property
    def schedules(self) -> Iterator[Mapping[str, Any]]:
        """The nodes of all schedules: the run's, and those that phases have for themselves."""
        yield self.scheduler
        yield from (phase.get("scheduler") or {} for phase in self.policy.get("phases", ()))

    def build_policy(self) -> Policy:
        """Build the policy; optimizers and schedules of its phases stay nodes, built when their phase begins.

        Raises:
            ConfigError: It does not derive from `Policy`.
        """
        policy = build(self.policy, self.trust, _recursive_=False)
        if not isinstance(policy, Policy):
            raise ConfigError(
                "Expected a policy that derives from tunesmith.contract.policy.Policy but got "
                f"{type(policy).__name__}; let its class derive from it."
            )
        return policy

    def chosen(self, stages: Sequence[str]) -> Model:
        """Give a copy whose policy trains the stages that it chose."""
        return replace(self, policy=self.policy.having(chosen=list(stages)))

    def contiguous(self) -> Model:
        """Give a copy whose task keeps weights in NCHW memory order."""
        return replace(self, task=self.task.having(channels_last=False))


@dataclass(frozen=True)
class Plan:
    """What a run is to be, read from its configuration once and never written back.

    Attributes:
        backbone: Node of the backbone.
        data: Node of the data module.
        model: Nodes of everything that the task is built from.
        trainer: Node of the trainer.
        callbacks: Nodes of the configured callbacks, by name.
        loggers: Nodes of the configured loggers, by name.
        cache: Node of the cache; empty for none.
        cache_folder: Folder that runs share; ``None`` for the default.
        test: Weights to test; ``None`` for no test.
    """

    backbone: Node
    data: Node
    model: Model
    trainer: Node
    callbacks: Mapping[str, Node]
    loggers: Mapping[str, Node]
    cache: Node
    cache_folder: str | None
    test: str | None

    @staticmethod
    def of(cfg: DictConfig, trust: Trust | None = None) -> Plan:
        """Resolve the configuration of a training run."""
        return Plan(
            backbone=resolved(cfg.backbone),
            data=resolved(cfg.data),
            model=Model.of(cfg, trust),
            trainer=resolved(cfg.trainer),
            callbacks={str(name): resolved(node) for name, node in cfg.callback.items() if node},
            loggers={str(name): resolved(node) for name, node in cfg.logger.items()},
            cache=resolved(OmegaConf.select(cfg, "cache")),
            cache_folder=OmegaConf.select(cfg, "paths.cache"),
            test=cfg.test,
        )

    def with_trainer(self, **values: Any) -> Plan:
        """Give a copy with other arguments of the trainer."""
        return replace(self, trainer=self.trainer.having(**values))

    def without_monitor(self) -> Plan:
        """Give a copy that watches no metric, for a run without validation: the last weights count as the best.

        Callbacks watch none either; where a run goes on, its recorded configuration names the task's for each.
        """
        watched = self.model.monitor
        callbacks = {
            name: node.having(monitor=None) if watched is not None and node.get("monitor") == watched else node
            for name, node in self.callbacks.items()
        }
        return replace(self, model=replace(self.model, task=self.model.task.having(monitor=None)), callbacks=callbacks)

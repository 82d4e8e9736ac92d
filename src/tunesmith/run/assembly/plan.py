"""Plan a run: its configuration resolved once, refined by copies during assembly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from omegaconf import DictConfig, OmegaConf

from tunesmith.config.build import Node, build, resolved
from tunesmith.config.gate import Trust
from tunesmith.contract.policy import Policy
from tunesmith.errors import ConfigError


@dataclass(frozen=True)
class Model:
    """The nodes that a task is built from, besides its backbone.

    Attributes:
        policy: Node of the policy.
        rates: Node of the rates.
        head: Node of the head.
        loss: Node of the loss.
        task: Node of the task, with its metrics.
        optimizer: Node of the run's optimizer; phases may have their own.
        scheduler: Node of its schedule; empty for none.
        trust: What the command may import; ``None`` for the user's general trust.
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
        """Resolve these nodes of a configuration, and nothing else in it."""
        names = ("policy", "rates", "head", "loss", "task", "optimizer", "scheduler")
        return Model(**{name: resolved(cfg[name]) for name in names}, trust=trust)

    @property
    def monitor(self) -> str | None:
        """The metric that selects the best weights; ``None`` without a validation split."""
        monitor: str | None = self.task.get("monitor")
        return monitor

    @property
    def schedules(self) -> Iterator[Mapping[str, object]]:
        """The nodes of all schedules: the run's, and the phases' own."""
        yield self.scheduler
        yield from (phase.get("scheduler") or {} for phase in self.policy.get("phases", ()))

    def build_policy(self) -> Policy:
        """Build the policy, with the optimizers and schedules of its phases left as nodes.

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
        """Return a copy whose policy trains the chosen stages."""
        return replace(self, policy=self.policy.having(chosen=list(stages)))

    def contiguous(self) -> Model:
        """Return a copy whose task keeps weights in NCHW memory order."""
        return replace(self, task=self.task.having(channels_last=False))


@dataclass(frozen=True)
class Plan:
    """What a run is to be, read once from its configuration and never written back.

    Attributes:
        backbone: Node of the backbone.
        data: Node of the data module.
        model: Nodes of everything that the task is built from.
        trainer: Node of the trainer.
        callbacks: Nodes of the configured callbacks, by name.
        loggers: Nodes of the configured loggers, by name.
        cache: Node of the cache; empty for none.
        cache_folder: Folder of the shared cache; ``None`` for the default.
        test: Name of the weights to test; ``None`` for no test.
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

    def with_trainer(self, **values: object) -> Plan:
        """Return a copy with other trainer options."""
        return replace(self, trainer=self.trainer.having(**values))

    def without_monitor(self) -> Plan:
        """Return a copy that monitors no metric, also in callbacks, for a run without validation."""
        watched = self.model.monitor
        callbacks = {
            name: node.having(monitor=None) if watched is not None and node.get("monitor") == watched else node
            for name, node in self.callbacks.items()
        }
        return replace(self, model=replace(self.model, task=self.model.task.having(monitor=None)), callbacks=callbacks)

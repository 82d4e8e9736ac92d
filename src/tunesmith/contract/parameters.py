"""Describe when and how fast each parameter trains: the parameter table, which policies and rates fill."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from tunesmith.errors import PolicyError

HEAD = "head"
"""Stage name of the head's parameters in the parameter table."""


@dataclass(frozen=True)
class Parameter:
    """The properties of a parameter that policies and rates use.

    Attributes:
        name: Full name in the task, such as ``backbone.net.layer4.0.conv1.weight``.
        stage: Name of its stage, or ``head``.
        depth: Index of its stage from the shallowest, 0; the head's is the number of stages.
        norm: Whether it belongs to a normalisation layer.
        bias: Whether it is a bias.
        ndim: Number of dimensions.
        numel: Number of elements.
        embedding: Whether it is added or scales, rather than multiplying a layer's inputs: position embeddings, tokens,
            position bias tables, layer scales.
    """

    name: str
    stage: str
    depth: int
    norm: bool
    bias: bool
    ndim: int
    numel: int
    embedding: bool = False


@dataclass(frozen=True)
class Plateau:
    """Ends a phase early once the monitored metric has stopped improving.

    Attributes:
        patience: Number of validations in a row without beating the phase's best.
        min_delta: Improvement by which a validation must beat it.

    Raises:
        PolicyError: A number is out of range.
    """

    patience: int
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        whole = isinstance(self.patience, int) and not isinstance(self.patience, bool)
        if not whole or self.patience < 1:
            raise PolicyError(
                f"Expected the policy's patience to be null or a whole number of at least 1 but got {self.patience!r}."
            )
        number = isinstance(self.min_delta, int | float) and not isinstance(self.min_delta, bool)
        if not number or not 0 <= self.min_delta < math.inf:
            raise PolicyError(f"Expected the policy's min_delta to be at least 0 but got {self.min_delta!r}.")

    @staticmethod
    def after(patience: int | None, min_delta: float) -> Plateau | None:
        """Return a plateau if there is a patience, else ``None``."""
        return None if patience is None else Plateau(patience, min_delta)


@dataclass(frozen=True)
class Phase:
    """A range of epochs, and the parameters that train in it.

    Attributes:
        first_epoch: First epoch of the phase, from 0; the latest possible one if an earlier phase may end early.
        trainable: Full names of the parameters that train.
        optimizer: The phase's own optimizer, as configured; ``None`` for the run's.
        scheduler: The phase's own schedule, as configured; ``None`` for the run's.
        plateau: When it ends early; ``None`` for never. The next phase starts from its best weights.
        ahead: Number of epochs by which it began earlier than planned.
    """

    first_epoch: int
    trainable: frozenset[str]
    optimizer: Mapping[str, object] | None = None
    scheduler: Mapping[str, object] | None = None
    plateau: Plateau | None = None
    ahead: int = 0

    @property
    def apart(self) -> bool:
        """Whether the phase has its own optimizer or schedule, built when it begins."""
        return self.optimizer is not None or self.scheduler is not None


@dataclass(frozen=True)
class Rate:
    """The training speed of one parameter.

    Attributes:
        multiplier: Factor on the optimizer's learning rate.
        decay: Factor on the optimizer's weight decay.
        start: Share of that rate at the start of the run, above 0, at most 1.
        ramp: Share of the run over which the rate reaches its full value.
        warmup: Epochs over which the rate rises from zero after unfreezing; unused if it trains from the start.
    """

    multiplier: float = 1.0
    decay: float = 1.0
    start: float = 1.0
    ramp: float = 0.0
    warmup: float = 0.0

    def gate(self, step: int, total_steps: int, since_thaw: float | None) -> float:
        """Return the share of the schedule's current rate, above 0 and at most 1: a pure function of the step.

        Args:
            step: Optimizer step, from 0.
            total_steps: Number of steps of the whole run.
            since_thaw: Epochs since it was unfrozen, including this step; ``None`` if it trains from the start.
        """
        left = 1 - min(1.0, step / (self.ramp * total_steps)) if self.ramp else 0.0
        # Geometric, so that a decay by depth keeps its form: decay**depth becomes (decay**left)**depth.
        share = float(self.start**left)
        if since_thaw is None or since_thaw >= self.warmup:
            return share
        return share * max(since_thaw, 0.0) / self.warmup


class Rates(Protocol):
    """Sets how fast each parameter trains, whatever the policy."""

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Return the rate of every parameter by full name."""


@dataclass(frozen=True)
class Row:
    """One line of the parameter table: a parameter, when it trains and how fast.

    Attributes:
        parameter: The parameter.
        first_epoch: Epoch from which it trains, at the latest; ``None`` for never.
        rate: Its rate, with any optimizer.
        weight_decay: Its weight decay with the run's own optimizer.
    """

    parameter: Parameter
    first_epoch: int | None
    rate: Rate
    weight_decay: float

    @property
    def multiplier(self) -> float:
        """Factor on the learning rate."""
        return self.rate.multiplier


@dataclass(frozen=True)
class Group:
    """A parameter group, which every optimizer of a run has, from the first step to the last.

    Attributes:
        name: Unique name: the stage, and what distinguishes it from the stage's other groups.
        rate: Rate of all its parameters.
        thaw: Epoch in which they begin to train, if they warm up then; else 0.
        parameters: Their full names, in the table's order.
    """

    name: str
    rate: Rate
    thaw: int
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class ParameterTable:
    """Every parameter of the model exactly once: what trains, when, and how fast.

    The table holds what policy and rates planned and, if phases end on a plateau, the epochs in which later ones really
    began: `beginning` makes a new table for each such decision, so what trains is a pure function of table and epoch.

    Attributes:
        rows: One row per parameter, shallow to deep, the head last.
        phases: The policy's phases.
    """

    rows: tuple[Row, ...]
    phases: tuple[Phase, ...] = field(repr=False)

    def phase(self, epoch: int) -> int:
        """Return the index of the phase that contains ``epoch``."""
        return max(i for i, p in enumerate(self.phases) if p.first_epoch <= epoch)

    def beginning(self, index: int, epoch: int) -> ParameterTable:
        """Return a table in which a phase begins earlier, and all later ones by the same number of epochs.

        Args:
            index: Index of the phase, which has not begun.
            epoch: Its new first epoch, at most the planned one.
        """
        ahead = self.phases[index].first_epoch - epoch
        later = [replace(phase, first_epoch=phase.first_epoch - ahead) for phase in self.phases[index:]]
        phases = (*self.phases[:index], replace(later[0], ahead=later[0].ahead + ahead), *later[1:])
        moved = {old.first_epoch: new.first_epoch for old, new in zip(self.phases, phases, strict=True)}
        rows = (r if r.first_epoch is None else replace(r, first_epoch=moved[r.first_epoch]) for r in self.rows)
        return replace(self, rows=tuple(rows), phases=phases)

    def trainable(self, epoch: int) -> frozenset[str]:
        """Return the full names of the parameters that train in ``epoch``."""
        return self.phases[self.phase(epoch)].trainable

    def optimizer_phase(self, epoch: int) -> int:
        """Return the index of the phase whose optimizer and schedule are used in ``epoch``.

        Neighbouring phases without their own share the run's; the index is that of the first.
        """
        index = self.phase(epoch)
        while index and not self.phases[index].apart and not self.phases[index - 1].apart:
            index -= 1
        return index

    def span(self, index: int) -> tuple[int, int | None]:
        """Return the first epoch of a phase's optimizer, and the epoch after its last; ``None`` if that ends the run.

        A schedule keeps the length it was built for when phases end early, so ``ahead`` is added back.

        Args:
            index: Result of `optimizer_phase`.
        """
        begin = self.phases[index].first_epoch
        for end in range(index + 1, len(self.phases)):
            first = self.phases[end].first_epoch
            if self.optimizer_phase(first) != index:
                return begin, first + sum(phase.ahead for phase in self.phases[index + 1 : end + 1])
        return begin, None

    def boundary(self, epoch: int) -> int:
        """Return the number of stages, from the shallowest, in which nothing trains in ``epoch``.

        Backpropagation ends here: these stages run without gradients and can be cached. A frozen stage behind a
        trainable one does not count, since gradients pass through it.
        """
        trainable = self.trainable(epoch)
        return min((r.parameter.depth for r in self.rows if r.parameter.name in trainable), default=0)

    def counts(self, epoch: int) -> dict[str, int]:
        """Return the numbers of trainable and frozen parameter elements in ``epoch``."""
        trainable = self.trainable(epoch)
        total = sum(r.parameter.numel for r in self.rows)
        trains = sum(r.parameter.numel for r in self.rows if r.parameter.name in trainable)
        return {"trainable": trains, "frozen": total - trains}

    def groups(self) -> list[Group]:
        """Return the optimizer groups in the table's order; every parameter is in exactly one."""
        members: dict[tuple[str, Rate, int], list[str]] = {}
        for row in self.rows:
            thaw = row.first_epoch or 0 if row.rate.warmup else 0
            members.setdefault((row.parameter.stage, row.rate, thaw), []).append(row.parameter.name)
        kinds: dict[str, list[tuple[Rate, int]]] = {}
        for stage, rate, thaw in members:
            kinds.setdefault(stage, []).append((rate, thaw))
        return [
            Group(self._name(stage, rate, thaw, kinds[stage]), rate, thaw, tuple(names))
            for (stage, rate, thaw), names in members.items()
        ]

    def _name(self, stage: str, rate: Rate, thaw: int, kinds: Sequence[tuple[Rate, int]]) -> str:
        """Name a group by its stage and what differs within it; by phase number, since epochs may move."""
        name = stage
        if len({kind.multiplier for kind, _ in kinds}) > 1:
            name += f"/x{rate.multiplier!r}"
        if len({epoch for _, epoch in kinds}) > 1:
            name += f"/phase_{self.phase(thaw)}"
        if rate.decay not in (0.0, 1.0):
            name += f"/decay_x{rate.decay!r}"
        return name + ("" if rate.decay else "/no_decay")

    def as_tsv(self) -> str:
        """Format the whole table as tab-separated text, for params.tsv."""
        lines = ["name\tstage\telements\ttrains_from_epoch\trate_multiplier\tweight_decay"]
        for row in self.rows:
            when = "never" if row.first_epoch is None else str(row.first_epoch)
            cells = [row.parameter.name, row.parameter.stage, str(row.parameter.numel), when]
            lines.append("\t".join([*cells, f"{row.multiplier:g}", f"{row.weight_decay:g}"]))
        return "\n".join(lines) + "\n"

"""The parameter table: every parameter of a model once, when it trains and how fast; policies and rates make it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tunesmith.errors import PolicyError

HEAD = "head"
"""The stage name that the head's parameters carry in the parameter table."""


@dataclass(frozen=True)
class Parameter:
    """What policies and rates see of one parameter.

    Attributes:
        name: Full name in the task, such as ``backbone.net.layer4.0.conv1.weight``.
        stage: Name of its stage, or ``head``.
        depth: Index of its stage from the shallowest, 0; the head's is the number of stages.
        norm: Whether it belongs to a normalisation layer.
        bias: Whether it is a bias.
        ndim: Number of its dimensions.
        numel: Number of its elements.
        embedding: Whether it is added or scales, and multiplies no layer's inputs: position embeddings, tokens, tables
            of position biases, scales of layers.
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
    """When a phase ends ahead of its time: the monitored metric has stopped improving.

    Attributes:
        patience: After so many validations in a row that do not beat the best of the phase.
        min_delta: By how much a validation must beat it.

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
        """Make one, where there is a patience."""
        return None if patience is None else Plateau(patience, min_delta)


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs and the parameters that train in it.

    Attributes:
        first_epoch: The epoch the phase begins with, counted from 0; at the latest, where one before it may end ahead
            of its time.
        trainable: Full names of the parameters that train.
        optimizer: The optimizer that the phase has for itself, as configured; ``None`` for the run's.
        scheduler: The schedule that the phase has for itself, as configured; ``None`` for the run's.
        plateau: When it ends ahead of its time; ``None`` for never. The phase after it begins with its best weights.
        ahead: Epochs by which it began before it would have at the latest.
    """

    first_epoch: int
    trainable: frozenset[str]
    optimizer: Mapping[str, Any] | None = None
    scheduler: Mapping[str, Any] | None = None
    plateau: Plateau | None = None
    ahead: int = 0

    @property
    def apart(self) -> bool:
        """Whether the phase has an optimizer and a schedule of its own, built when it begins."""
        return self.optimizer is not None or self.scheduler is not None


@dataclass(frozen=True)
class Rate:
    """How fast one parameter trains.

    Attributes:
        multiplier: Factor on the optimizer's learning rate.
        decay: Factor on the optimizer's weight decay.
        start: Share of that rate with which it begins the run, above 0, at most 1.
        ramp: Share of the run over which it comes to the whole.
        warmup: Epochs over which it rises from nothing when it thaws; not where it trains from the start.
    """

    multiplier: float = 1.0
    decay: float = 1.0
    start: float = 1.0
    ramp: float = 0.0
    warmup: float = 0.0

    def gate(self, step: int, total_steps: int, since_thaw: float | None) -> float:
        """Share of the schedule's present rate, above 0 and never above 1: a pure function of the step.

        Args:
            step: The optimizer step, counted from 0.
            total_steps: Those of the whole run.
            since_thaw: Epochs since it thawed, those of this step included; ``None`` where it trains from the start.
        """
        left = 1 - min(1.0, step / (self.ramp * total_steps)) if self.ramp else 0.0
        # In the exponent, so that a decay by depth stays one: decay**depth becomes (decay**left)**depth.
        share = float(self.start**left)
        if since_thaw is None or since_thaw >= self.warmup:
            return share
        return share * max(since_thaw, 0.0) / self.warmup


class Rates(Protocol):
    """How fast each parameter trains, whatever the policy."""

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Give every parameter its rate, keyed by full name."""
        ...


@dataclass(frozen=True)
class Row:
    """One line of the parameter table: a parameter, when it trains and how fast.

    Attributes:
        parameter: The parameter.
        first_epoch: The epoch from which it trains, or its phase's latest; ``None`` for never.
        rate: How fast, with whatever optimizer.
        weight_decay: With the run's own optimizer.
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
    """One group of every optimizer of a run, from step 0 to the end.

    Attributes:
        name: Its name, which no other group has: the stage, and what tells it from others of the stage.
        rate: The rate of all its parameters.
        thaw: The epoch in which they begin to train, where they warm up then; else 0.
        parameters: Their full names, in the table's order.
    """

    name: str
    rate: Rate
    thaw: int
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class ParameterTable:
    """Every parameter of the model, exactly once: what trains, when, and how fast.

    It is what policy and rates laid out and, where phases end on a plateau, the epochs in which others began instead:
    `beginning` makes a new table of each such decision, and what trains is a pure function of table and epoch.

    Attributes:
        rows: One row a parameter, shallow to deep, the head last.
        phases: The policy's phases.
    """

    rows: tuple[Row, ...]
    phases: tuple[Phase, ...] = field(repr=False)

    def phase(self, epoch: int) -> int:
        """Index of the phase that ``epoch`` falls in."""
        return max(i for i, p in enumerate(self.phases) if p.first_epoch <= epoch)

    def beginning(self, index: int, epoch: int) -> ParameterTable:
        """The table in which a phase begins with another epoch, and all later ones as long after it as before.

        Args:
            index: Of the phase, which has not begun.
            epoch: At most its present first one.
        """
        ahead = self.phases[index].first_epoch - epoch
        later = [replace(phase, first_epoch=phase.first_epoch - ahead) for phase in self.phases[index:]]
        phases = (*self.phases[:index], replace(later[0], ahead=later[0].ahead + ahead), *later[1:])
        moved = {old.first_epoch: new.first_epoch for old, new in zip(self.phases, phases, strict=True)}
        rows = (r if r.first_epoch is None else replace(r, first_epoch=moved[r.first_epoch]) for r in self.rows)
        return replace(self, rows=tuple(rows), phases=phases)

    def trainable(self, epoch: int) -> frozenset[str]:
        """Full names of the parameters that train in ``epoch``."""
        return self.phases[self.phase(epoch)].trainable

    def optimizer_phase(self, epoch: int) -> int:
        """Index of the phase whose optimizer and schedule are at work in ``epoch``.

        Neighbouring phases without any of their own share the run's: it is the first of them.
        """
        index = self.phase(epoch)
        while index and not self.phases[index].apart and not self.phases[index - 1].apart:
            index -= 1
        return index

    def span(self, index: int) -> tuple[int, int | None]:
        """First epoch of the optimizer of a phase and the epoch after its last; ``None`` where the run ends first.

        The last is what it was when the phase began: a schedule keeps its length when phases end ahead of their time.

        Args:
            index: As `optimizer_phase` gives it.
        """
        begin = self.phases[index].first_epoch
        for end in range(index + 1, len(self.phases)):
            first = self.phases[end].first_epoch
            if self.optimizer_phase(first) != index:
                return begin, first + sum(phase.ahead for phase in self.phases[index + 1 : end + 1])
        return begin, None

    def boundary(self, epoch: int) -> int:
        """Number of stages, from the shallowest, in which nothing trains in ``epoch``."""
        trainable = self.trainable(epoch)
        return min((r.parameter.depth for r in self.rows if r.parameter.name in trainable), default=0)

    def counts(self, epoch: int) -> dict[str, int]:
        """Number of trainable and of frozen parameter elements in ``epoch``."""
        trainable = self.trainable(epoch)
        total = sum(r.parameter.numel for r in self.rows)
        trains = sum(r.parameter.numel for r in self.rows if r.parameter.name in trainable)
        return {"trainable": trains, "frozen": total - trains}

    def groups(self) -> list[Group]:
        """The optimizer groups, in the table's order; every parameter is in one."""
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
        """The stage, with what differs within it; by numbers of phases, since their epochs may move."""
        name = stage
        if len({kind.multiplier for kind, _ in kinds}) > 1:
            name += f"/x{rate.multiplier!r}"
        if len({epoch for _, epoch in kinds}) > 1:
            name += f"/phase_{self.phase(thaw)}"
        if rate.decay not in (0.0, 1.0):
            name += f"/decay_x{rate.decay!r}"
        return name + ("" if rate.decay else "/no_decay")

    def as_tsv(self) -> str:
        """The whole table as tab-separated text, for params.tsv."""
        lines = ["name\tstage\telements\ttrains_from_epoch\trate_multiplier\tweight_decay"]
        for row in self.rows:
            when = "never" if row.first_epoch is None else str(row.first_epoch)
            cells: list[Any] = [row.parameter.name, row.parameter.stage, row.parameter.numel, when]
            lines.append("\t".join(map(str, [*cells, f"{row.multiplier:g}", f"{row.weight_decay:g}"])))
        return "\n".join(lines) + "\n"

"""What flows between the rooms: the types that data, backbone, policy, rates, head and task agree on.

Nothing here imports torch when it runs: the configuration is checked with this module loaded, and that must be fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypedDict

if TYPE_CHECKING:
    from torch import Tensor

HEAD = "head"
"""The stage name that the head's parameters carry in the parameter table."""

SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "backbone": (),
    "data": (),
    "policy": (),
    "rates": (),
    "loss": (),
    "head": ("feature_dim", "num_outputs"),
    "task": ("backbone", "head", "loss", "metrics", "table", "optimizer", "scheduler"),
    "task.metrics.*": ("num_classes",),
    "optimizer": ("params",),
    "scheduler": ("optimizer", "total_steps", "steps_per_epoch"),
    "trainer": ("callbacks", "logger", "default_root_dir"),
    "callback.*": (),
    "logger.*": ("folder", "record"),
}
"""Arguments that `run/assemble.py` passes to the target at a config path, over and above its YAML.

They never stand in a YAML: a width, a class count or a parameter list is derived. A target takes those it names.
"""


class Batch(TypedDict):
    """One batch, on the device, ready for the backbone.

    Attributes:
        input: Float tensor ``(B, C, H, W)``, normalised as the backbone's `Preprocess` says.
        target: Class index ``(B,)``, int64.
        index: Row of each sample in the data module's table ``(B,)``, int64; -1 marks a duplicate that only fills a
            distributed batch and is left out of every metric and prediction.
    """

    input: Tensor
    target: Tensor
    index: Tensor


@dataclass(frozen=True)
class DataSpec:
    """What the data is, published by a data module after `setup`; saved whole in run.json.

    Attributes:
        target: The kind of target.
        class_names: One name a class, in the order of the class indices.
        input: The kind of input.
        channels: Channels of a decoded picture: 1 (grey) or 3 (RGB).
        fingerprint: Digest of the content (files' bytes, labels and names), independent of place and time.
        split_unit: What was kept together when splitting: ``sample``, ``group`` or ``folder``.
        group: What a group is, in words; ``None`` where the data has none.
    """

    class_names: tuple[str, ...]
    channels: int
    fingerprint: str
    split_unit: str
    group: str | None = None
    target: Literal["class"] = "class"
    input: Literal["image"] = "image"

    @property
    def num_outputs(self) -> int:
        """Outputs K that a head needs."""
        return len(self.class_names)


@dataclass(frozen=True)
class Preprocess:
    """How pictures must be prepared for a backbone, taken from its weights.

    Attributes:
        size: Height and width in pixels of what the backbone sees.
        interpolation: ``bilinear``, ``bicubic`` or ``nearest``, as torchvision names them.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.
    """

    size: int = 224
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @property
    def channels(self) -> int:
        """Channels that the backbone expects."""
        return len(self.mean)


@dataclass(frozen=True)
class Stage:
    """One named piece of a backbone; pieces run one after another, shallow to deep.

    Attributes:
        name: The name that policies and tables use.
        members: Names of the submodules of ``backbone.net`` that the stage owns, in the order they run.
    """

    name: str
    members: tuple[str, ...]


class Features(NamedTuple):
    """What a backbone gives a head.

    Attributes:
        pooled: ``(B, D)``.
        map: The last feature map ``(B, C, H, W)``, before pooling.
    """

    pooled: Tensor
    map: Tensor | None = None


@dataclass(frozen=True)
class Weights:
    """Where a backbone's weights came from, for the record.

    Attributes:
        source: As the user named it (``pretrained``, ``package:<name>``, a path), or ``None`` for random ones.
        hash: Hex digest over names, shapes and bytes of the tensors that were loaded; ``None`` for random weights.
        matched: Number of tensors loaded.
        ignored: Names in the source that the backbone has no use for, such as the old classifier's.
        missing: Names that the backbone has and the source lacks; only ever filled with ``strict=False``.
    """

    source: str | None = None
    hash: str | None = None
    matched: int = 0
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Backbone(Protocol):
    """A pretrained network cut into stages; see `tunesmith.backbone.base.Backbone` for the class to derive from."""

    net: Any
    feature_dim: int
    stages: tuple[Stage, ...]
    preprocess: Preprocess
    weights: Weights

    def __call__(self, x: Tensor, frozen: int = 0) -> Features:
        """Map ``(B, C, H, W)`` to features; the first ``frozen`` stages run without gradients."""
        ...


class Head(Protocol):
    """Features to outputs ``(B, K)``; built with ``feature_dim`` and ``num_outputs``."""

    def __call__(self, features: Features) -> Tensor:
        """Map features to outputs ``(B, K)``."""
        ...


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
    """

    name: str
    stage: str
    depth: int
    norm: bool
    bias: bool
    ndim: int
    numel: int


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs and the parameters that train in it.

    Attributes:
        first_epoch: The epoch the phase begins with, counted from 0.
        trainable: Full names of the parameters that train.
    """

    first_epoch: int
    trainable: frozenset[str]


@dataclass(frozen=True)
class Rate:
    """How fast one parameter trains.

    Attributes:
        multiplier: Factor on the optimizer's learning rate.
        decay: Factor on the optimizer's weight decay.
    """

    multiplier: float = 1.0
    decay: float = 1.0


class Policy(Protocol):
    """Which parameters train, when: a pure function of the epoch."""

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Lay out the phases, ordered by first epoch, beginning with epoch 0."""
        ...


class Rates(Protocol):
    """How fast each parameter trains, whatever the policy."""

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Give every parameter its rate, keyed by full name."""
        ...


@dataclass(frozen=True)
class Row:
    """One line of the parameter table: a parameter, when it trains and how fast."""

    parameter: Parameter
    first_epoch: int | None
    multiplier: float
    weight_decay: float

    @property
    def group(self) -> str:
        """Name of the optimizer group the parameter belongs to, from step 0 to the end."""
        return self.parameter.stage + ("" if self.weight_decay else "/no_decay")


@dataclass(frozen=True)
class ParameterTable:
    """Every parameter of the model, exactly once: what trains, when, and how fast.

    Attributes:
        rows: One row a parameter, shallow to deep, the head last.
        phases: The policy's phases.
    """

    rows: tuple[Row, ...]
    phases: tuple[Phase, ...] = field(repr=False)

    def phase(self, epoch: int) -> int:
        """Index of the phase that ``epoch`` falls in."""
        return max(i for i, p in enumerate(self.phases) if p.first_epoch <= epoch)

    def trainable(self, epoch: int) -> frozenset[str]:
        """Full names of the parameters that train in ``epoch``."""
        return self.phases[self.phase(epoch)].trainable

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

    def groups(self) -> dict[tuple[str, float, float], list[str]]:
        """Full names by optimizer group: (group name, multiplier, weight decay), in the table's order."""
        grouped: dict[tuple[str, float, float], list[str]] = {}
        for row in self.rows:
            grouped.setdefault((row.group, row.multiplier, row.weight_decay), []).append(row.parameter.name)
        return grouped

    def as_tsv(self) -> str:
        """The whole table as tab-separated text, for params.tsv."""
        lines = ["name\tstage\telements\ttrains_from_epoch\trate_multiplier\tweight_decay"]
        for row in self.rows:
            when = "never" if row.first_epoch is None else str(row.first_epoch)
            cells: list[Any] = [row.parameter.name, row.parameter.stage, row.parameter.numel, when]
            lines.append("\t".join(map(str, [*cells, f"{row.multiplier:g}", f"{row.weight_decay:g}"])))
        return "\n".join(lines) + "\n"

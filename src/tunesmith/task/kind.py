"""Define the mathematics of a task between outputs, predictions, targets and labels, without any training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple, TypedDict, cast

from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from typing_extensions import NotRequired

from tunesmith.contract.batch import IGNORED, Batch, Outputs
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.protocols import Backbone, Head, HeadTraits, Vocabulary
from tunesmith.contract.spec import DataSpec
from tunesmith.contract.tree import select
from tunesmith.target.base import of
from tunesmith.task.calibration import Calibration
from tunesmith.task.metric.metric import update
from tunesmith.task.optimization.optimization import MakeOptimizer, MakeScheduler

Stage = Literal["train", "val", "test"]

PER_SAMPLE = ("target", "index", "weight", "meta")
"""Parts of a batch, besides its input, with one row per sample."""


class TaskArguments(TypedDict):
    """The arguments of `tunesmith.task.base.Task`, which every final task passes on."""

    backbone: Backbone
    head: Head
    loss: nn.Module
    metrics: Mapping[str, Metric]
    table: ParameterTable
    spec: DataSpec
    optimizer: MakeOptimizer
    scheduler: MakeScheduler
    monitor: NotRequired[str | None]
    mode: NotRequired[Literal["min", "max"]]
    channels_last: NotRequired[bool]
    compile: NotRequired[bool]
    save: NotRequired[Literal["changed", "all"]]
    lm_loss_weight: NotRequired[float]


class Counted(NamedTuple):
    """The outputs and targets over which the loss of a batch is averaged.

    Attributes:
        outputs: ``(M, K)`` for M samples, tokens or pixels; ``(M, V, K)`` with V views.
        target: Their targets, as the data have them.
        weight: Their weights ``(M,)``; ``None`` if the data have none.
    """

    outputs: Tensor
    target: Tensor
    weight: Tensor | None = None


def counted_positions(outputs: Tensor, target: Tensor, weight: Tensor | None) -> Counted:
    """Select the positions that count, sample by sample, each with its sample's weight.

    Args:
        outputs: Outputs per position, such as a token or a pixel ``(B, …, K)``.
        target: Targets ``(B, …)``, `IGNORED` where a position does not count.
        weight: Weight of each sample ``(B,)``; ``None`` if the data have none.
    """
    counts = target != IGNORED
    spread = None if weight is None else weight.view(-1, *[1] * (target.ndim - 1)).expand_as(target)[counts]
    return Counted(outputs[counts], target[counts], spread)


class Kind(ABC):
    """Base of every task's mathematics; `tunesmith.task.base.Task` adds training.

    Attributes:
        calibration: How outputs become labels; the default until a fitted one is set.
        spec: Description of the data.
        vocabulary: Converts between texts and tokens, for tasks that generate text; set by `run.assembly`.
    """

    calibration: Calibration
    spec: DataSpec
    vocabulary: Vocabulary | None = None

    targets: ClassVar[tuple[str, ...]] = ("class",)
    """Kinds of target, as in `DataSpec`, that the task accepts."""

    own_labels: ClassVar[bool] = False
    """Whether `labels` differ from what a metric would derive from predictions, even without a threshold."""

    attention: str | None = None
    """Attention that the task needs of a language model, as in `TextPreprocess`; ``None`` for any backbone."""

    r_drop: float = 0.0
    """Weight of the disagreement of two passes per training batch; 0 for one pass."""

    @classmethod
    def target_mistakes(cls, spec: DataSpec) -> Iterator[str]:
        """Report data with another kind of target."""
        if spec.target not in cls.targets:
            yield (
                f"Expected data whose target is {' or '.join(cls.targets)} for {cls.__name__} "
                f"but got '{spec.target}'; choose another task, or say what the labels are (data.target)."
            )

    @classmethod
    def num_outputs(cls, spec: DataSpec) -> int:
        """Return the number K of outputs that the head needs; 1 if the data do not determine it."""
        return max(1, len(spec.class_names))

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Convert outputs ``(…, K)`` to predictions ``(…, K)``: probabilities or values."""

    def labels(self, predictions: Tensor) -> Tensor:
        """Convert predictions ``(B, K)`` to labels: by default the most probable class ``(B,)``."""
        return predictions.argmax(dim=-1)

    def truth(self, target: Tensor) -> Tensor:
        """Convert targets to true labels ``(B,)``: for a mixture ``(B, K)``, the class of its larger part."""
        return target.argmax(dim=-1) if target.ndim == 2 else target

    def encode(self, target: Tensor) -> Tensor:
        """Convert targets to the loss's form: by default unchanged."""
        return target

    def counted(self, outputs: Outputs, batch: Batch) -> Counted:
        """Select what the loss of a batch is averaged over: by default its samples."""
        return Counted(as_tensor(outputs), as_tensor(batch["target"]), batch.get("weight"))

    def count(self, batch: Batch) -> int:
        """Return the number M over which the loss of a batch is averaged, without its outputs."""
        return len(batch["index"])

    def score(self, metrics: MetricCollection, outputs: Outputs, batch: Batch) -> dict[str, object]:
        """Update metrics.

        Args:
            metrics: The stage's metrics.
            outputs: Outputs of the batch, without gradients.
            batch: The batch, without samples that only fill it up.

        Returns:
            What a test keeps, by name: tensors ``(B, …)``, or lists of B.
        """
        outputs = as_tensor(outputs)
        predictions, truth = self.predictions(outputs), self.truth(as_tensor(batch["target"]))
        if len(truth):
            own = self.own_labels or self.calibration.threshold is not None
            update(metrics, predictions, self.labels(predictions) if own else predictions, truth)
        return {"predictions": predictions, "target": truth, "outputs": outputs}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, object]) -> str | None:
        """Update metrics with the constant prediction that is best without a model.

        Args:
            metrics: On the CPU.
            found: Everything that `score` kept of a test.

        Returns:
            The prediction in words; ``None`` if there is no such prediction.
        """
        common = of(self.spec.target).always(self.spec)
        if common is None:
            return None
        constant, name = common
        metrics.update(constant.expand(as_tensor(found["predictions"]).shape).contiguous(), as_tensor(found["target"]))
        return name

    @property
    def scheme(self) -> str | None:
        """How tags mark the start of an entity, according to the metrics; ``None`` if none is of entities."""
        return None

    @property
    def calibrates(self) -> bool:
        """Whether to fit a calibration on validation after training."""
        return False

    def calibrate(self, outputs: Tensor, target: Tensor) -> Calibration:
        """Fit a calibration.

        Args:
            outputs: Outputs on validation, ``(N, K)``, or ``(N, V, K)`` with V views.
            target: True labels, as `truth` returns them.
        """
        return Calibration()

    def predictions(self, outputs: Tensor, calibration: Calibration | None = None) -> Tensor:
        """Compute predictions ``(B, K)`` with a calibration, by default the current one.

        Args:
            outputs: ``(B, K)``, or ``(B, V, K)`` with V views, whose predictions are averaged.
            calibration: Provides the temperature.
        """
        temperature = (calibration or self.calibration).temperature
        found = self.predict(outputs if temperature == 1 else outputs.float() / temperature)
        return found.mean(dim=1) if found.ndim == 3 else found


def head_mistakes(head: Head, spec: DataSpec) -> Iterator[str]:
    """Report a head that declares no needs, or whose outputs do not match the target."""
    traits = HeadTraits.of(head)
    if traits.needs is None:
        yield (
            f"Expected {type(head).__name__} to declare which features it needs but it has no attribute 'needs'; add "
            "one, such as needs = Needs(pooled=True), with Needs from tunesmith.contract.features."
        )
    yield from of(spec.target).head_mistakes(type(head).__name__, traits.output_per)


def as_tensor(value: object) -> Tensor:
    """Narrow a tree, such as a target, that must be a single tensor."""
    assert isinstance(value, Tensor), type(value)
    return value


def without_padding(outputs: Outputs, batch: Batch) -> tuple[Outputs, Batch]:
    """Remove the samples that only fill up a distributed batch; the input stays unchanged."""
    kept = batch["index"] >= 0
    per_sample = {name: select(value, kept) for name, value in batch.items() if name in PER_SAMPLE}
    return select(outputs, kept), cast(Batch, {**batch, **per_sample})

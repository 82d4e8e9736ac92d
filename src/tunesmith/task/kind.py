"""What a kind of task is: the mathematics between outputs, predictions, targets and labels, without any training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch, Outputs
from tunesmith.contract.protocols import Head, HeadTraits
from tunesmith.contract.spec import DataSpec
from tunesmith.contract.tree import Tree, select
from tunesmith.target.base import of
from tunesmith.task.calibration import Calibration
from tunesmith.task.metric.metric import update

PER_SAMPLE = ("target", "index", "weight", "meta")
"""What of a batch, besides its input, has a row per sample."""


class Counted(NamedTuple):
    """What the loss of a batch is the mean over.

    Attributes:
        outputs: ``(M, K)``: of the M samples, or of the tokens or pixels that count; ``(M, V, K)`` of V views.
        target: Of each of them, as the data have it.
        weight: Of each of them ``(M,)``, where the data have weights.
    """

    outputs: Tensor
    target: Tensor
    weight: Tensor | None = None


def counted_positions(outputs: Tensor, target: Tensor, weight: Tensor | None) -> Counted:
    """Select the positions that count, those of each sample in their order and with its weight.

    Args:
        outputs: Of every position, such as a token or a pixel ``(B, …, K)``.
        target: What each is to give ``(B, …)``, `IGNORED` where a position does not count.
        weight: Of each sample ``(B,)``, where the data have weights.
    """
    counts = target != IGNORED
    spread = None if weight is None else weight.view(-1, *[1] * (target.ndim - 1)).expand_as(target)[counts]
    return Counted(outputs[counts], target[counts], spread)


class Kind(ABC):
    """What each final task says of itself; `Task` adds the life that all of them lead.

    Attributes:
        calibration: How outputs become labels; the plain way until `calibrate` was asked and its answer put here.
        spec: What the data are.
    """

    calibration: Calibration
    spec: DataSpec

    targets: ClassVar[tuple[str, ...]] = ("class",)
    """Kinds of target, as `DataSpec` has them, that the task is for."""

    own_labels: ClassVar[bool] = False
    """Whether `labels` are others than a metric would take of the predictions, even without a threshold."""

    attention: str | None = None
    """How the task needs a language model to read, as `TextPreprocess` has it; ``None`` for any backbone."""

    r_drop: float = 0.0
    """Weight of what two passes of a training batch differ by; 0 for one pass."""

    @classmethod
    def target_mistakes(cls, spec: DataSpec) -> Iterator[str]:
        """Say so where data have another kind of target."""
        if spec.target not in cls.targets:
            yield (
                f"Expected data whose target is {' or '.join(cls.targets)} for {cls.__name__} "
                f"but got '{spec.target}'; choose another task, or say what the labels are (data.target)."
            )

    @classmethod
    def num_outputs(cls, spec: DataSpec) -> int:
        """Outputs K that the head needs for such data; 1 where they say nothing of it, and the head knows by itself."""
        return max(1, len(spec.class_names))

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Turn outputs ``(…, K)`` into what metrics and prediction files take: probabilities or values ``(…, K)``."""

    def labels(self, predictions: Tensor) -> Tensor:
        """Turn predictions ``(B, K)`` into what an image is said to be: the most probable class ``(B,)``."""
        return predictions.argmax(dim=-1)

    def truth(self, target: Tensor) -> Tensor:
        """What metrics compare with: the class ``(B,)``, which is that of the larger part of a mixture ``(B, K)``."""
        return target.argmax(dim=-1) if target.ndim == 2 else target

    def encode(self, target: Tensor) -> Tensor:
        """What the loss compares with: the target as the data have it."""
        return target

    def counted(self, outputs: Any, batch: Batch) -> Counted:
        """What of a batch the loss is the mean over: its samples."""
        return Counted(outputs, as_tensor(batch["target"]), batch.get("weight"))

    def count(self, batch: Batch) -> int:
        """Count what the loss of a batch is the mean over, M, without its outputs."""
        return len(batch["index"])

    def score(self, metrics: MetricCollection, outputs: Any, batch: Batch) -> dict[str, Any]:
        """Update metrics.

        Args:
            metrics: Those of the stage.
            outputs: Of the batch, without gradients.
            batch: The batch, without samples that only fill it up.

        Returns:
            What is kept of a test, by name: tensors ``(B, …)``, or lists of B.
        """
        predictions, truth = self.predictions(outputs), self.truth(as_tensor(batch["target"]))
        if len(truth):
            own = self.own_labels or self.calibration.threshold is not None
            update(metrics, predictions, self.labels(predictions) if own else predictions, truth)
        return {"predictions": predictions, "target": truth, "outputs": outputs}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, Any]) -> str | None:
        """Update metrics with what would be said without a model.

        Args:
            metrics: On the CPU.
            found: What `score` kept of a test, all of it.

        Returns:
            That in words; ``None`` where there is nothing of the kind.
        """
        common = of(self.spec.target).always(self.spec)
        if common is None:
            return None
        constant, name = common
        metrics.update(constant.expand(found["predictions"].shape).contiguous(), found["target"])
        return name

    @property
    def scheme(self) -> str | None:
        """How tags say where an entity begins, as the metrics have it; ``None`` where none is of entities."""
        return None

    @property
    def calibrates(self) -> bool:
        """Whether a calibration is to be fitted on validation when training is over."""
        return False

    def calibrate(self, outputs: Tensor, target: Tensor) -> Calibration:
        """Fit a calibration.

        Args:
            outputs: Of validation, ``(N, K)``, or ``(N, V, K)`` of V views.
            target: As `truth` gives it.
        """
        return Calibration()

    def predictions(self, outputs: Tensor, calibration: Calibration | None = None) -> Tensor:
        """Predictions ``(B, K)`` by a calibration, the present one by default.

        Args:
            outputs: ``(B, K)``, or ``(B, V, K)`` of V views, whose predictions are averaged.
            calibration: Gives the temperature.
        """
        temperature = (calibration or self.calibration).temperature
        found = self.predict(outputs if temperature == 1 else outputs.float() / temperature)
        return found.mean(dim=1) if found.ndim == 3 else found


def head_mistakes(head: Head, spec: DataSpec) -> Iterator[str]:
    """Say so where a head does not say what it needs, or gives outputs for something else than the target has."""
    traits = HeadTraits.of(head)
    if traits.needs is None:
        yield (
            f"Expected {type(head).__name__} to say which features it takes but it has no attribute 'needs'; give it "
            "one, such as needs = Needs(pooled=True), with Needs from tunesmith.contract.features."
        )
    yield from of(spec.target).head_mistakes(type(head).__name__, traits.output_per)


def as_tensor(target: Tree) -> Tensor:
    """Take a target that is one tensor for what it is."""
    assert isinstance(target, Tensor)
    return target


def without_padding(outputs: Outputs, batch: Batch) -> tuple[Any, Batch]:
    """Leave out the samples that only fill up a distributed batch; the input stays what it is."""
    kept = batch["index"] >= 0
    per_sample = {name: select(value, kept) for name, value in batch.items() if name in PER_SAMPLE}
    return select(outputs, kept), {**batch, **per_sample}  # type: ignore[typeddict-item]

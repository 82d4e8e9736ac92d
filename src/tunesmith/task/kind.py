"""What a kind of task is: the mathematics between outputs, predictions, targets and labels, without any training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from tunesmith.contracts import DataSpec
from tunesmith.task.decision import Decision


class Kind(ABC):
    """What each final task says of itself; `Task` adds the life that all of them lead.

    Attributes:
        decision: How outputs become labels; the plain way until `decide` was asked and its answer put here.
    """

    decision: Decision

    targets: ClassVar[tuple[str, ...]] = ("class",)
    """Kinds of target, as `DataSpec` has them, that the task is for."""

    own_labels: ClassVar[bool] = False
    """Whether `labels` are others than a metric would take of the predictions, even without a threshold."""

    @classmethod
    def num_outputs(cls, spec: DataSpec) -> int:
        """Outputs K that the head needs for such data."""
        return len(spec.class_names)

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Turn outputs ``(…, K)`` into what metrics and prediction files take: probabilities or values ``(…, K)``."""

    def labels(self, predictions: Tensor) -> Tensor:
        """Turn predictions ``(B, K)`` into what a picture is said to be: the most probable class ``(B,)``."""
        return predictions.argmax(dim=-1)

    def truth(self, target: Tensor) -> Tensor:
        """What metrics compare with: the class ``(B,)``, which is that of the larger part of a mixture ``(B, K)``."""
        return target.argmax(dim=-1) if target.ndim == 2 else target

    def encode(self, target: Tensor) -> Tensor:
        """What the loss compares with: the target as the data have it."""
        return target

    @property
    def decides(self) -> bool:
        """Whether a decision is to be fitted on validation when training is over."""
        return False

    def decide(self, outputs: Tensor, target: Tensor) -> Decision:
        """Fit a decision.

        Args:
            outputs: Of validation, ``(N, K)``, or ``(N, V, K)`` of V views.
            target: As `truth` gives it.
        """
        return Decision()

    def predictions(self, outputs: Tensor, decision: Decision | None = None) -> Tensor:
        """Predictions ``(B, K)`` by a decision, the present one by default.

        Args:
            outputs: ``(B, K)``, or ``(B, V, K)`` of V views, whose predictions are averaged.
            decision: Gives the temperature.
        """
        temperature = (decision or self.decision).temperature
        found = self.predict(outputs if temperature == 1 else outputs.float() / temperature)
        return found.mean(dim=1) if found.ndim == 3 else found

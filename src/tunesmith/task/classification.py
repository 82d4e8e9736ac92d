"""One class a picture."""

from __future__ import annotations

from typing import Any, Literal, final

from torch import Tensor

from tunesmith.errors import ConfigError
from tunesmith.task.base import Task
from tunesmith.task.decision import Criterion, Decision, choose_threshold, fit_temperature, nll_of_classes


@final
class Classification(Task):
    """Multi-class classification: outputs are logits ``(B, K)``, predictions are their softmax.

    Args:
        temperature: Scale the outputs, when training is over, so that probabilities are right on validation (Guo et
            al., 2017); labels stay as they are.
        threshold: Choose on validation, when training is over, above which probability it is the second of two classes:
            by ``accuracy``, ``balanced_accuracy`` or ``f1`` (the mean of both classes'). ``None`` is one half.
        **common: Arguments of `Task`.

    Raises:
        ConfigError: There is a threshold to be chosen but not two classes.
    """

    def __init__(
        self,
        *,
        temperature: bool = False,
        threshold: Literal["accuracy", "f1", "balanced_accuracy"] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if threshold is not None and len(self.spec.class_names) != 2:
            raise ConfigError(
                f"Expected two classes for task.threshold={threshold} but got {len(self.spec.class_names)}."
            )
        self.temperature = temperature
        self.threshold: Criterion | None = "macro_f1" if threshold == "f1" else threshold

    @property
    def decides(self) -> bool:
        """See `Task.decides`."""
        return self.temperature or self.threshold is not None

    def predict(self, outputs: Tensor) -> Tensor:
        """Class probabilities ``(B, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def labels(self, predictions: Tensor) -> Tensor:
        """Class indices ``(B,)``."""
        if self.decision.threshold is None:
            return predictions.argmax(dim=-1)
        return (predictions[:, 1] > self.decision.threshold[0]).long()

    def decide(self, outputs: Tensor, target: Tensor) -> Decision:
        """See `Task.decide`."""
        t = fit_temperature(outputs, lambda scaled: nll_of_classes(scaled, target)) if self.temperature else 1.0
        if self.threshold is None:
            return Decision(t)
        scores = self.predictions(outputs, Decision(t))[:, 1]
        return Decision(t, (choose_threshold(scores, target, self.threshold),))

"""One class a picture."""

from __future__ import annotations

from typing import Any, Literal, final

from torch import Tensor

from tunesmith.contract.batch import Batch
from tunesmith.errors import ConfigError
from tunesmith.task.base import Task
from tunesmith.task.calibration import Criterion, Decision, choose_threshold, fit_temperature, nll_of_classes
from tunesmith.task.loss.agreement import Disagreement, check_r_drop, drops
from tunesmith.task.loss.loss import mean_loss


@final
class Classification(Task):
    """Multi-class classification: outputs are logits ``(B, K)``, predictions are their softmax.

    Args:
        temperature: Scale the outputs, when training is over, so that probabilities are right on validation (Guo et
            al., 2017); labels stay as they are.
        threshold: Choose on validation, when training is over, above which probability it is the second of two classes:
            by ``accuracy``, ``balanced_accuracy`` or ``f1`` (the mean of both classes'). ``None`` is one half.
        r_drop: Weight of what two passes of a training batch, each with dropout of its own, differ by (R-Drop: Liang et
            al., 2021). It takes twice the time; with 0, or while nothing that trains drops anything, there is one pass.
        **common: Arguments of `Task`.

    Raises:
        ConfigError: A threshold is to be chosen but there are not two classes, or R-Drop is asked of a fitted head.
    """

    def __init__(
        self,
        *,
        temperature: bool = False,
        threshold: Literal["accuracy", "f1", "balanced_accuracy"] | None = None,
        r_drop: float = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if threshold is not None and len(self.spec.class_names) != 2:
            raise ConfigError(
                f"Expected two classes for task.threshold={threshold} but got {len(self.spec.class_names)}."
            )
        check_r_drop(r_drop, self.head_fit is not None)
        self.r_drop, self.disagreement = r_drop, Disagreement()
        self.temperature = temperature
        self.threshold: Criterion | None = "macro_f1" if threshold == "f1" else threshold

    @property
    def decides(self) -> bool:
        """See `Task.decides`."""
        return self.temperature or self.threshold is not None

    def training_loss(self, batch: Batch) -> Tensor:
        """See `Task.training_loss`."""
        if not self.r_drop or not any(module.training and drops(module) for module in self.modules()):
            return super().training_loss(batch)
        first, second = self._outputs(batch["input"]), self._outputs(batch["input"])
        labels: Tensor = self.step(batch, "train", first)["loss"] + self.step(batch, "train", second)["loss"]
        apart = mean_loss(self.disagreement, first, second, batch.get("weight"), self.spec.mean_weight)
        return (labels + self.r_drop * apart) / 2

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

"""Predict one class per sample."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor
from typing_extensions import Unpack

from tunesmith.contract.batch import TARGET, Batch
from tunesmith.errors import raise_together
from tunesmith.task.base import Task
from tunesmith.task.calibration import Calibration, Criterion, choose_threshold, fit_temperature, nll_of_classes
from tunesmith.task.kind import TaskArguments, as_tensor
from tunesmith.task.loss.agreement import DISAGREEMENT, Disagreement, drops, r_drop_mistakes
from tunesmith.task.loss.loss import mean_loss
from tunesmith.task.loss.term import Term


@final
class Classification(Task):
    """Multi-class classification: outputs are logits ``(B, K)``, predictions are their softmax.

    Args:
        temperature: Scale the outputs after training so that probabilities are calibrated on validation (Guo et al.,
            2017); labels do not change.
        threshold: Choose the probability threshold of the second of two classes on validation after training, by
            ``accuracy``, ``balanced_accuracy`` or ``f1`` (the mean over both classes). ``None`` is one half.
        r_drop: Weight of the disagreement of two passes of each training batch, each with its own dropout (R-Drop:
            Liang et al., 2021). Takes twice the time; with 0, or if nothing that trains has dropout, there is one pass.
        **common: Arguments of `Task`.

    Raises:
        ConfigError: A threshold is requested but there are not two classes, or R-Drop with a fitted head.
    """

    def __init__(
        self,
        *,
        temperature: bool = False,
        threshold: Literal["accuracy", "f1", "balanced_accuracy"] | None = None,
        r_drop: float = 0.0,
        **common: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**common)
        mistakes = list(r_drop_mistakes(r_drop, self.head_fit is not None))
        if threshold is not None and len(self.spec.class_names) != 2:
            mistakes.append(
                f"Expected two classes for task.threshold={threshold} but got {len(self.spec.class_names)}."
            )
        raise_together(mistakes)
        self.r_drop, self.disagreement = r_drop, Disagreement()
        self.temperature = temperature
        self.threshold: Criterion | None = "macro_f1" if threshold == "f1" else threshold

    @property
    def calibrates(self) -> bool:
        """Whether a temperature or a threshold is to be fitted; see `Kind.calibrates`."""
        return self.temperature or self.threshold is not None

    def training_terms(self, batch: Batch) -> dict[str, Term]:
        """Compute the labels' term as the mean of both passes; see `Task.training_terms`."""
        if not self.r_drop or not any(module.training and drops(module) for module in self.modules()):
            return super().training_terms(batch)
        first, second = as_tensor(self.outputs(batch)), as_tensor(self.outputs(batch))
        one, other = (self.step(batch, "train", outputs)[0][TARGET] for outputs in (first, second))
        apart = mean_loss(self.disagreement, first, second, batch.get("weight"), self.spec.mean_weight)
        return {TARGET: Term((one.mean + other.mean) / 2, one.count), DISAGREEMENT: Term(apart, one.count)}

    def counts(self, batch: Batch) -> dict[str, float]:
        """Return the counts; see `Task.counts`."""
        found = super().counts(batch)
        return found | {DISAGREEMENT: found[TARGET]}

    @property
    def term_weights(self) -> dict[str, float]:
        """Weights of the terms; half of R-Drop's weight, since the labels' term is half of its sum."""
        return super().term_weights | {DISAGREEMENT: self.r_drop / 2}

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert logits to class probabilities ``(B, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def labels(self, predictions: Tensor) -> Tensor:
        """Return class indices ``(B,)``, by the threshold if there is one."""
        if self.calibration.threshold is None:
            return predictions.argmax(dim=-1)
        return (predictions[:, 1] > self.calibration.threshold[0]).long()

    def calibrate(self, outputs: Tensor, target: Tensor) -> Calibration:
        """Fit temperature and threshold; see `Kind.calibrate`."""
        t = fit_temperature(outputs, lambda scaled: nll_of_classes(scaled, target)) if self.temperature else 1.0
        if self.threshold is None:
            return Calibration(t)
        scores = self.predictions(outputs, Calibration(t))[:, 1]
        return Calibration(t, (choose_threshold(scores, target, self.threshold),))

"""Predict any number of labels per sample."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor
from typing_extensions import Unpack

from tunesmith.task.base import Task
from tunesmith.task.calibration import Calibration, choose_threshold, fit_temperature, nll_of_labels
from tunesmith.task.kind import TaskArguments


@final
class MultiLabel(Task):
    """Multi-label classification: outputs are logits ``(B, K)``, predictions are their sigmoid.

    Args:
        temperature: Scale the outputs after training so that probabilities are calibrated on validation (Guo et al.,
            2017, with the sigmoid instead of the softmax).
        threshold: Choose each label's probability threshold on validation after training, by ``accuracy``,
            ``balanced_accuracy`` or ``f1``. ``None`` is one half.
        **common: Arguments of `Task`.
    """

    targets = ("multilabel",)

    def __init__(
        self,
        *,
        temperature: bool = False,
        threshold: Literal["accuracy", "f1", "balanced_accuracy"] | None = None,
        **common: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**common)
        self.temperature = temperature
        self.threshold = threshold

    @property
    def calibrates(self) -> bool:
        """Whether a temperature or thresholds are to be fitted; see `Kind.calibrates`."""
        return self.temperature or self.threshold is not None

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert logits to label probabilities ``(B, K)`` in float32."""
        return outputs.float().sigmoid()

    def labels(self, predictions: Tensor) -> Tensor:
        """Apply the thresholds: labels 0 or 1 ``(B, K)``."""
        thresholds = self.calibration.threshold or (0.5,)
        return (predictions > predictions.new_tensor(thresholds)).long()

    def truth(self, target: Tensor) -> Tensor:
        """Return labels 0 or 1 ``(B, K)``; for a mixture, those of its larger part."""
        return (target > 0.5).long()

    def calibrate(self, outputs: Tensor, target: Tensor) -> Calibration:
        """Fit temperature and thresholds; see `Kind.calibrate`."""
        t = fit_temperature(outputs, lambda scaled: nll_of_labels(scaled, target)) if self.temperature else 1.0
        if self.threshold is None:
            return Calibration(t)
        scores = self.predictions(outputs, Calibration(t))
        pairs = zip(scores.unbind(1), target.unbind(1), strict=True)
        return Calibration(t, tuple(choose_threshold(s, y, self.threshold) for s, y in pairs))

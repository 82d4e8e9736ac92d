"""One class a picture."""

from __future__ import annotations

from typing import final

from torch import Tensor

from tunesmith.task.base import Task


@final
class Classification(Task):
    """Multi-class classification: outputs are logits ``(B, K)``, predictions are their softmax."""

    def predict(self, outputs: Tensor) -> Tensor:
        """Class probabilities ``(B, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

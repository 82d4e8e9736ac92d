"""A class for each pixel of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch
from tunesmith.target.base import of
from tunesmith.task.base import Task
from tunesmith.task.kind import Counted, as_tensor, counted_positions
from tunesmith.task.metric.metric import update


@final
class Segmentation(Task):
    """Semantic segmentation: outputs ``(B, K, H, W)`` are logits of each pixel.

    The loss is the mean over the pixels that count in the batch, those whose target is not `IGNORED`; metrics are of
    all such pixels of a split together.
    """

    targets = ("mask",)

    def counted(self, outputs: Tensor, batch: Batch) -> Counted:
        """The pixels that count, of all images in their order, each with its image's weight."""
        return counted_positions(outputs.movedim(1, -1), as_tensor(batch["target"]), batch.get("weight"))

    def count(self, batch: Batch) -> int:
        """Count the pixels that count."""
        return int((as_tensor(batch["target"]) != IGNORED).sum())

    def predict(self, outputs: Tensor) -> Tensor:
        """Class probabilities ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def score(self, metrics: MetricCollection, outputs: Tensor, batch: Batch) -> dict[str, Any]:
        """Update metrics with the pixels that count; keep each image's confusion matrix ``(B, K, K)``."""
        found, pixels = self.counted(outputs, batch), (as_tensor(batch["target"]) != IGNORED).flatten(1).sum(dim=1)
        predictions = self.predictions(found.outputs)
        said = self.labels(predictions)
        if len(said):
            update(metrics, predictions, said, found.target)
        return {"confusion": confusion(said, found.target, pixels, outputs.shape[1])}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, Any]) -> str | None:
        """The class that most pixels of train have, for every pixel."""
        common = of(self.spec.target).always(self.spec)
        assert common is not None
        probabilities, name = common
        for matrix in found["confusion"]:
            truth = torch.arange(len(matrix)).repeat_interleave(matrix.sum(dim=1))
            said = probabilities.expand(len(truth), -1)
            if len(truth):
                update(metrics, said, self.labels(said), truth)
        return name

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Number of pixels that are said to be of each class ``(B, K)``, and index ``(B,)``."""
        outputs = self(batch["input"])
        said = self.labels(self.predictions(outputs.movedim(1, -1))).flatten(1)
        each = torch.arange(outputs.shape[1], device=said.device)
        pixels = torch.stack([(said == k).sum(dim=1) for k in each], dim=1)
        return {"predictions": pixels, "index": batch["index"]}


def confusion(said: Tensor, truth: Tensor, pixels: Tensor, num_classes: int) -> Tensor:
    """Count pixels by true and predicted class: one confusion matrix per image ``(B, K, K)``, int64.

    Args:
        said: Predicted class of the pixels of all images ``(M,)``.
        truth: Their true class ``(M,)``.
        pixels: Number of them in each image ``(B,)``.
        num_classes: K.
    """
    image = torch.arange(len(pixels), device=pixels.device).repeat_interleave(pixels)
    cells = (image * num_classes + truth) * num_classes + said
    return cells.bincount(minlength=len(pixels) * num_classes**2).view(-1, num_classes, num_classes)

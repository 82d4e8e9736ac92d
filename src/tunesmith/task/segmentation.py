"""Classify each pixel of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch, Outputs
from tunesmith.target.base import of
from tunesmith.task.base import Task
from tunesmith.task.kind import Counted, as_tensor, counted_positions
from tunesmith.task.metric.metric import update


@final
class Segmentation(Task):
    """Semantic segmentation: outputs ``(B, K, H, W)`` are logits of each pixel.

    The loss is the mean over the pixels that count in the batch, those whose target is not `IGNORED`; metrics are over
    all such pixels of a split.
    """

    targets = ("mask",)

    def counted(self, outputs: Outputs, batch: Batch) -> Counted:
        """Select the pixels that count, image by image, each with its image's weight."""
        return counted_positions(as_tensor(outputs).movedim(1, -1), as_tensor(batch["target"]), batch.get("weight"))

    def count(self, batch: Batch) -> int:
        """Return the number of pixels that count."""
        return int((as_tensor(batch["target"]) != IGNORED).sum())

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert logits to class probabilities ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def score(self, metrics: MetricCollection, outputs: Outputs, batch: Batch) -> dict[str, object]:
        """Update metrics with the pixels that count; keep each image's confusion matrix ``(B, K, K)``."""
        found, pixels = self.counted(outputs, batch), (as_tensor(batch["target"]) != IGNORED).flatten(1).sum(dim=1)
        predictions = self.predictions(found.outputs)
        said = self.labels(predictions)
        if len(said):
            update(metrics, predictions, said, found.target)
        return {"confusion": confusion(said, found.target, pixels, as_tensor(outputs).shape[1])}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, object]) -> str | None:
        """Predict the class of most pixels of train for every pixel; see `Kind.baseline`."""
        common = of(self.spec.target).always(self.spec)
        assert common is not None
        probabilities, name = common
        for matrix in as_tensor(found["confusion"]):
            truth = torch.arange(len(matrix)).repeat_interleave(matrix.sum(dim=1))
            said = probabilities.expand(len(truth), -1)
            if len(truth):
                update(metrics, said, self.labels(said), truth)
        return name

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, object]:
        """Return the number of pixels predicted as each class ``(B, K)``, and index ``(B,)``."""
        outputs = as_tensor(self(batch["input"]))
        said = self.labels(self.predictions(outputs.movedim(1, -1))).flatten(1)
        each = torch.arange(outputs.shape[1], device=said.device)
        pixels = torch.stack([(said == k).sum(dim=1) for k in each], dim=1)
        return {"predictions": pixels, "index": batch["index"]}


def confusion(said: Tensor, truth: Tensor, pixels: Tensor, num_classes: int) -> Tensor:
    """Count pixels by true and predicted class: one confusion matrix per image ``(B, K, K)``, int64.

    Args:
        said: Predicted class of each counted pixel of all images ``(M,)``.
        truth: True class of the same pixels ``(M,)``.
        pixels: Number of counted pixels per image ``(B,)``.
        num_classes: K.
    """
    image = torch.arange(len(pixels), device=pixels.device).repeat_interleave(pixels)
    cells = (image * num_classes + truth) * num_classes + said
    return cells.bincount(minlength=len(pixels) * num_classes**2).view(-1, num_classes, num_classes)

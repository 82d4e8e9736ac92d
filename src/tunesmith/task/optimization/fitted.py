"""Fit a head to the features of one epoch, in the place of training it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tunesmith.contract.batch import Batch
from tunesmith.target.base import of
from tunesmith.task.kind import as_tensor

if TYPE_CHECKING:
    from tunesmith.task.base import Task


class HeadFit:
    """Collects what a frozen backbone makes of each training batch, then has the head fitted to all of it.

    What was collected is in no checkpoint: who is killed before the fit begins the epoch again.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, Any]] = []

    @torch.no_grad()
    def collect(self, task: Task, batch: Batch) -> None:
        """Keep the vectors of a batch ``(B, D)`` on the CPU, and all of the batch but its images."""
        vectors = task.head.vectors(task.features(batch["input"]))
        self._kept.append((vectors.cpu(), {k: v for k, v in batch.items() if k != "input"}))

    @torch.no_grad()
    def solve(self, task: Task) -> None:
        """Fit the head, and log what it makes of the training samples."""
        kept, self._kept = self._kept, []
        outputs = task.num_outputs(task.spec)
        targets = [_as_matrix(task.encode(as_tensor(batch["target"])), outputs) for _, batch in kept]
        weights = [batch["weight"].cpu() for _, batch in kept if "weight" in batch]
        classes = getattr(task.loss, "weight", None) if of(task.spec.target).class_weights else None
        target, weight = by_class(torch.cat(targets), torch.cat(weights) if weights else None, classes)
        task.head.fit(torch.cat([v for v, _ in kept]), target, weight)
        for vectors, batch in kept:
            task.step(batch, "train", task.head.outputs(vectors.to(task.device)))
        task.log("head/alpha", task.head.alpha)


def by_class(target: Tensor, weight: Tensor | None, classes: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Let weights of classes, where there are any, count as weights of their samples.

    Args:
        target: Class probabilities ``(N, K)``; for a mixture, cross-entropy with weighted classes is that of the
            weighted probabilities, times their sum.
        weight: Of each sample ``(N,)``.
        classes: Of each class ``(K,)``.

    Returns:
        Targets ``(N, K)`` and weights ``(N,)`` of samples to fit to.
    """
    if classes is None:
        return target, weight
    parts = target * classes.cpu()
    total = parts.sum(dim=1)
    return parts / total.unsqueeze(1), total if weight is None else weight * total


def _as_matrix(target: Tensor, outputs: int) -> Tensor:
    return (F.one_hot(target, outputs) if target.ndim == 1 else target).float().cpu()

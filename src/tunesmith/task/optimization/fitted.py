"""Fit a head to the features of one epoch instead of training it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from tunesmith.contract.batch import Batch
from tunesmith.contract.protocols import FittedHead
from tunesmith.target.base import of
from tunesmith.task.kind import as_tensor

if TYPE_CHECKING:
    from tunesmith.task.base import Task


class HeadFit:
    """Collects a frozen backbone's features of all training batches, then fits the head to them.

    The collected features are in no checkpoint: a run killed before the fit starts the epoch again.
    """

    def __init__(self, head: FittedHead) -> None:
        self._head = head
        self._kept: list[tuple[Tensor, Batch]] = []

    @torch.no_grad()
    def collect(self, task: Task, batch: Batch) -> None:
        """Keep the vectors of a batch ``(B, D)`` on the CPU, and the batch without its input."""
        vectors = self._head.vectors(task.features(batch["input"]))
        self._kept.append((vectors.cpu(), {**batch, "input": {}}))  # no step reads the input again

    @torch.no_grad()
    def solve(self, task: Task) -> None:
        """Fit the head, and score it on the training samples."""
        kept, self._kept = self._kept, []
        outputs = task.num_outputs(task.spec)
        targets = [_as_matrix(task.encode(as_tensor(batch["target"])), outputs) for _, batch in kept]
        weights = [batch["weight"].cpu() for _, batch in kept if "weight" in batch]
        classes = getattr(task.loss, "weight", None) if of(task.spec.target).class_weights else None
        target, weight = by_class(torch.cat(targets), torch.cat(weights) if weights else None, classes)
        self._head.fit(torch.cat([v for v, _ in kept]), target, weight)
        for vectors, batch in kept:
            task.step(batch, "train", self._head.outputs(vectors.to(task.device)))
        task.log("head/alpha", task.get_buffer("head.alpha"))


def by_class(target: Tensor, weight: Tensor | None, classes: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Convert class weights, if any, to sample weights.

    Args:
        target: Class probabilities ``(N, K)``; for a mixture, cross-entropy with class weights equals that with the
            weighted probabilities, times their sum.
        weight: Weight of each sample ``(N,)``.
        classes: Weight of each class ``(K,)``.

    Returns:
        Targets ``(N, K)`` and weights ``(N,)`` to fit to.
    """
    if classes is None:
        return target, weight
    parts = target * classes.cpu()
    total = parts.sum(dim=1)
    return parts / total.unsqueeze(1), total if weight is None else weight * total


def _as_matrix(target: Tensor, outputs: int) -> Tensor:
    return (F.one_hot(target, outputs) if target.ndim == 1 else target).float().cpu()

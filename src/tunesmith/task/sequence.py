"""Define the base of tasks with one output per token."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch, Outputs
from tunesmith.task.base import Task
from tunesmith.task.kind import Counted, as_tensor, counted_positions
from tunesmith.task.metric.metric import update


class SequenceTask(Task, ABC):
    """A task with outputs ``(B, T, K)``; its loss is the mean over the positions that count in the batch.

    A position counts if its target is not `IGNORED`. Cached features are padded further than a batch is; positions
    behind the target do not count.
    """

    targets: ClassVar[tuple[str, ...]] = ("tags",)

    def counted(self, outputs: Outputs, batch: Batch) -> Counted:
        """Select the positions that count, sample by sample, each with its sample's weight."""
        found = as_tensor(outputs)
        return counted_positions(found, aligned(self.of_tokens(batch), found.shape[1]), batch.get("weight"))

    def of_tokens(self, batch: Batch) -> Tensor:
        """Return the target of each token ``(B, T)``."""
        return as_tensor(batch["target"])

    def count(self, batch: Batch) -> int:
        """Return the number of positions that count."""
        return int((self.of_tokens(batch) != IGNORED).sum())

    def score(self, metrics: MetricCollection, outputs: Outputs, batch: Batch) -> dict[str, object]:
        """Update metrics with the positions that count; keep nothing of a test."""
        found = self.counted(outputs, batch)
        if len(found.target):
            update(metrics, self.predictions(found.outputs), self.predictions(found.outputs), found.target)
        return {}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, object]) -> str | None:
        """Return ``None``: there is no constant prediction."""
        return None


def aligned(target: Tensor, length: int) -> Tensor:
    """Pad targets ``(B, T)`` with `IGNORED` to the length of the outputs."""
    return F.pad(target, (0, length - target.shape[1]), value=IGNORED)


def parted(values: Tensor, sizes: Tensor) -> list[Tensor]:
    """Split values of all samples ``(M, …)`` by sample ``(M_i, …)``."""
    return list(torch.split(values, sizes.tolist()))


def whole(parts: object) -> tuple[Tensor, Tensor]:
    """Undo `parted`: return all values ``(M, …)``, and the number of each value's sample ``(M,)``."""
    assert isinstance(parts, Sequence)
    sizes = torch.tensor([len(part) for part in parts])
    return torch.cat(list(parts)), torch.arange(len(parts)).repeat_interleave(sizes)

"""Tasks with an output a token: which of them count, and the rest is as for one output a sample."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch
from tunesmith.task.base import Task
from tunesmith.task.kind import Counted, as_tensor, counted_positions
from tunesmith.task.metric.metric import update


class SequenceTask(Task, ABC):
    """A task whose outputs are ``(B, T, K)``; its loss is the mean over the positions that count in the batch.

    A position counts where the target is not `IGNORED`. Features that the cache keeps are padded further than a batch
    is; what is behind the target does not count.
    """

    targets: ClassVar[tuple[str, ...]] = ("tags",)

    def counted(self, outputs: Tensor, batch: Batch) -> Counted:
        """The positions that count, of all samples in their order, each with its sample's weight."""
        return counted_positions(outputs, aligned(self.of_tokens(batch), outputs.shape[1]), batch.get("weight"))

    def of_tokens(self, batch: Batch) -> Tensor:
        """What each token is to give ``(B, T)``."""
        return as_tensor(batch["target"])

    def count(self, batch: Batch) -> int:
        """Count the positions that count."""
        return int((self.of_tokens(batch) != IGNORED).sum())

    def score(self, metrics: MetricCollection, outputs: Tensor, batch: Batch) -> dict[str, Any]:
        """Update metrics with the positions that count; nothing is kept of a test."""
        found = self.counted(outputs, batch)
        if len(found.target):
            update(metrics, self.predictions(found.outputs), self.predictions(found.outputs), found.target)
        return {}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, Any]) -> str | None:
        """There is nothing of the kind."""
        return None


def aligned(target: Tensor, length: int) -> Tensor:
    """Pad targets ``(B, T)`` with `IGNORED` to the length of the outputs."""
    return F.pad(target, (0, length - target.shape[1]), value=IGNORED)


def parted(values: Tensor, sizes: Tensor) -> list[Tensor]:
    """Part what was said of all samples ``(M, …)`` into what was said of each ``(M_i, …)``."""
    return list(torch.split(values, sizes.tolist()))


def whole(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Undo `parted`: all values ``(M, …)``, and the number of the sample that each is of ``(M,)``."""
    sizes = torch.tensor([len(part) for part in parts])
    return torch.cat(list(parts)), torch.arange(len(parts)).repeat_interleave(sizes)

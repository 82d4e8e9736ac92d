"""Batches that know how much counts in all batches of their optimizer step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, final

from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

Counts = Callable[[Any], Mapping[str, float]]
"""What each term of the loss of a batch is the mean over, by name."""


class Steps(NamedTuple):
    """How batches make up optimizer steps.

    Attributes:
        batches: Batches per step.
        limit: Batches of an epoch, the last of which ends a step.
    """

    batches: int
    limit: float

    @staticmethod
    def of(trainer: Trainer | None) -> Steps:
        """Read them from a trainer, for the epoch that begins; without one each batch is a step."""
        return Steps(trainer.accumulate_grad_batches, trainer.num_training_batches) if trainer else Steps(1, math.inf)


@final
class StepLoader(DataLoader[dict[str, Any]]):
    """A loader of training batches, each with the `Batch.totals` of its optimizer step.

    It reads all batches of a step before it gives the first of them. A step may have fewer batches than others, at the
    end of an epoch, and a batch fewer samples or tokens: only the totals say what a batch is a share of.

    Attributes:
        counts: Counts a batch; ``None`` for batches without totals.
        steps: Gives the `Steps` of the epoch that begins.
        begun: Gives the batches of the epoch that are left out, since a resumed run has had them.
    """

    counts: Counts | None = None
    steps: Callable[[], Steps]
    begun: Callable[[], int]

    def __iter__(self) -> Any:
        """Iterate over the batches of an epoch; worker processes begin at once."""
        batches = super().__iter__()
        return batches if self.counts is None else self._with_totals(batches, self.begun(), self.counts)

    def _with_totals(self, batches: Iterator[dict[str, Any]], at: int, counts: Counts) -> Iterator[dict[str, Any]]:
        # Asked now, at the first batch: Lightning makes iterators before it has counted the batches.
        steps = self.steps()
        if steps.batches == 1:
            yield from batches
        while step := list(islice(batches, int(min(steps.batches - at % steps.batches, max(1, steps.limit - at))))):
            totals: Counter[str] = Counter()
            for batch in step:
                totals.update(counts(batch))
            yield from ({**batch, "totals": dict(totals)} for batch in step)
            at += len(step)

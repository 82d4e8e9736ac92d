"""Load training batches with the totals of their optimizer step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, final

from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from tunesmith.contract.batch import Batch
from tunesmith.data.dataset import Sample

Counts = Callable[[Batch], Mapping[str, float]]
"""Returns the count over which each loss term of a batch is averaged, by name."""


class Steps(NamedTuple):
    """The batches of each optimizer step.

    Attributes:
        batches: Batches per step.
        limit: Batches per epoch, the last of which ends a step.
    """

    batches: int
    limit: float

    @staticmethod
    def of(trainer: Trainer | None) -> Steps:
        """Read them from a trainer, for the epoch that begins; without a trainer each batch is a step."""
        return Steps(trainer.accumulate_grad_batches, trainer.num_training_batches) if trainer else Steps(1, math.inf)


@final
class StepLoader(DataLoader[Sample]):
    """A loader of training batches, each with the `Batch.totals` of its optimizer step.

    It reads all batches of a step before it yields the first one. The last step of an epoch may have fewer batches, and
    a batch fewer samples or tokens, so a batch's share of its step follows from the totals only.

    Attributes:
        counts: Counts a batch; ``None`` for batches without totals.
        steps: Returns the `Steps` of the epoch that begins.
        begun: Returns the number of batches at the start of the epoch that a resumed run skips.
    """

    counts: Counts | None = None
    steps: Callable[[], Steps]
    begun: Callable[[], int]

    def __iter__(self) -> Any:
        """Iterate over the batches of an epoch; worker processes start at once."""
        batches = super().__iter__()
        return batches if self.counts is None else self._with_totals(batches, self.begun(), self.counts)

    def _with_totals(self, batches: Iterator[Batch], at: int, counts: Counts) -> Iterator[Batch]:
        # Read at the first batch, since Lightning makes iterators before it has counted the batches.
        steps = self.steps()
        if steps.batches == 1:
            yield from batches
        while step := list(islice(batches, int(min(steps.batches - at % steps.batches, max(1, steps.limit - at))))):
            totals: Counter[str] = Counter()
            for batch in step:
                totals.update(counts(batch))
            for batch in step:
                batch["totals"] = dict(totals)
                yield batch
            at += len(step)

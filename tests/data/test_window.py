from __future__ import annotations

import math

import pytest
from torch.utils.data import default_collate

from tunesmith.data.window import StepLoader, Steps


def loader(batches, steps, begun=0, counts=lambda batch: {"target": len(batch["index"])}):
    """Batches of two of so many, the last one of one alone."""
    made = StepLoader([{"index": i} for i in range(2 * batches - 1)], batch_size=2, collate_fn=default_collate)
    made.counts, made.steps, made.begun = counts, lambda: steps, lambda: begun
    return made


def totals(made):
    return [batch.get("totals", {}).get("target") for batch in made]


@pytest.mark.parametrize(
    ("batches", "steps", "begun", "expected"),
    [
        (5, Steps(2, math.inf), 0, [4, 4, 4, 4, 1]),
        (4, Steps(2, math.inf), 0, [4, 4, 3, 3]),
        (5, Steps(3, 4), 0, [6, 6, 6, 2, 1]),  # the trainer stops behind the fourth
        (4, Steps(3, math.inf), 2, [2, 5, 5, 5]),  # two are left out, one ends their step
        (3, Steps(1, math.inf), 0, [None, None, None]),
    ],
)
def test_each_batch_knows_what_counts_in_its_step(batches, steps, begun, expected):
    assert totals(loader(batches, steps, begun)) == expected


def test_nothing_is_counted_where_nobody_asks():
    assert totals(loader(3, Steps(2, math.inf), counts=None)) == [None, None, None]


def test_samples_come_in_their_order_again_and_again():
    made = loader(4, Steps(3, math.inf))
    for _ in range(2):
        assert [int(i) for batch in made for i in batch["index"]] == list(range(7))

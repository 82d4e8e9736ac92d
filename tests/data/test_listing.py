"""What was altered has a name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tunesmith.data.listing import differences, listing
from tunesmith.data.table import Table


def made(names="abcdefgh", digests=None, targets=None, train=6, weights=None):
    count = len(names)
    targets = np.arange(count) % 2 if targets is None else np.array(targets)
    table = Table(np.zeros((count, 1, 1), np.uint8), targets, ("x", "y"), np.array(list(names)), weights=weights)
    indices = {"train": np.arange(train), "test": np.arange(train, count)}
    return listing(table, indices, digests or [bytes([i + 1]) * 16 for i in range(count)])


OTHER = [bytes([i + 1]) * 16 for i in range(8)]
OTHER[2] = b"other" + bytes(11)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (made(), []),
        (made(digests=OTHER), ["altered: c"]),
        (made(targets=[0, 1, 0, 1, 0, 1, 1, 1]), ["labelled otherwise: g"]),
        (made(train=7), ["in another split: g"]),
        (made(names="abcdefgz"), ["missing: h", "new: z"]),
        (made(weights=np.array([1, 1, 1, 1, 1, 1, 1, 2.0], np.float32)), None),
        (made(digests=[b"all others" + bytes(6)] * 8), ["altered: a, b, c, d, e and 3 more"]),
    ],
)
def test_what_differs_is_named(now, said):
    found = list(differences(made(), now))
    assert found == (["labelled otherwise: a, b, c, d, e and 3 more"] if said is None else said)


def test_rows_of_no_split_and_other_orders(tmp_path):
    one = made()
    one.sample(frac=1, random_state=0).to_parquet(tmp_path / "list.parquet", index=False)
    assert list(differences(pd.read_parquet(tmp_path / "list.parquet"), one)) == []


def test_it_is_small(tmp_path):
    """As many as MNIST has: a sweep of a thousand runs keeps a thousand of them."""
    count = 70_000
    names = np.array([f"train/{i:05}" for i in range(count)])
    table = Table(np.zeros((count, 1, 1), np.uint8), np.arange(count) % 2, ("x", "y"), names)
    digests = np.random.default_rng(0).bytes(16 * count)
    rows = {"train": np.arange(count)}
    made = listing(table, rows, [digests[16 * i : 16 * i + 16] for i in range(count)])
    made.to_parquet(tmp_path / "list.parquet", index=False)
    assert (tmp_path / "list.parquet").stat().st_size < 10 * count + 4 * count

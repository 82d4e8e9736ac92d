"""What makes numbers incomparable is said."""

from __future__ import annotations

import pytest

from tunesmith.compare.doubts import NOT_COMPARABLE, doubts
from tunesmith.compare.runs import read_run


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"fingerprint": "content:2"}}, f"{NOT_COMPARABLE}the runs had 2 different sets of data"),
        ({"data": {"members": {"test": "y"}}}, f"{NOT_COMPARABLE}.*tested on different images"),
        ({"data": {"split_unit": "group"}}, f"{NOT_COMPARABLE}some runs were split by group and others by sample"),
        ({"packages": {"torch": "3"}}, "different versions of torch"),
        ({"git": {"commit": "a"}}, "different versions of code"),
        ({"hardware": {"processor": "other"}}, "seconds are not comparable"),
    ],
)
def test_a_difference(add, changes, said):
    runs = [read_run(add()), read_run(add(seed=1, **changes))]
    (found,) = doubts(runs)
    import re

    assert re.search(said, found)
    assert list(doubts(runs[:1])) == []


def test_runs_of_an_older_version_are_told_by_the_size_of_the_test_part(add):
    less = {"members": {}, "splits": {"test": {"a": 1}}}
    runs = [read_run(add(data={"members": {}})), read_run(add(data=less))]
    assert len(list(doubts(runs))) == 1
    assert list(doubts([runs[0], read_run(add(data={"members": {}}))])) == []


def test_other_folds_test_on_other_images_and_may(add):
    runs = [read_run(add(overrides=(f"data.split.fold={f}",), data={"members": {"test": str(f)}})) for f in (0, 1)]
    assert list(doubts(runs)) == []


def test_a_fingerprint_of_heads_is_no_full_proof(add):
    runs = [read_run(add(data={"fingerprint": "head:1"}))] * 2
    assert "64 KiB" in next(doubts(runs))

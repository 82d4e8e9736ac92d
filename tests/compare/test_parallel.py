"""Axes of parallel coordinates."""

from __future__ import annotations

import itertools

import pytest

from tunesmith.compare.parallel import legible, scale


@pytest.mark.parametrize(
    ("labels", "heights"),
    [
        (["1", "2", "3"], [0, 0.5, 1]),
        (["0.001", "0.01", "0.1"], [0, 0.5, 1]),
        (["0", "5", "100"], [0, 0.05, 1]),
        (["full", "linear_probe", "full"], [0, 1, 0]),
        (["1", "default"], [0, 1]),
        (["2", "2"], [0.5, 0.5]),
    ],
)
def test_values_lie_where_they_are(labels, heights):
    found, ticks = scale(labels)
    assert found == pytest.approx(heights)
    assert {text for _, text in ticks} == set(labels)


def test_ticks_do_not_lie_over_each_other():
    ticks = [(i / 100, str(i)) for i in range(101)]
    kept = legible(ticks)
    assert kept[0][1] == "0" and kept[-1][1] == "100"
    assert min(b[0] - a[0] for a, b in itertools.pairwise(kept)) >= 0.04
    assert legible(ticks[:1]) == ticks[:1]

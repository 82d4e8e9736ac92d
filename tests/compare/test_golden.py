"""The recorded golden runs give the golden table, which golden/make.py computed with pandas and scipy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.compare.group import group
from tunesmith.compare.runs import find, read_all

GOLDEN = Path(__file__).with_name("golden")
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def found():
    return group(read_all(find([str(GOLDEN / "runs")])), None, None)


@pytest.fixture(scope="module")
def expected():
    return json.loads((GOLDEN / "table.json").read_text())


def test_the_golden_runs_give_the_golden_table(found, expected):
    assert found.keys == ("head", "optimizer.lr")
    for each, row in zip(found.groups, expected["table"], strict=True):
        assert each.settings == {key: row[key] for key in found.keys}
        assert len(each.runs) == row["replicates"]
        ours = (each.mean, each.spread, each.values.max(), each.seconds)
        assert ours == pytest.approx([row[k] for k in ("mean", "sd", "best", "seconds")], rel=TOLERANCE)


def test_the_best_two_are_tested_as_scipy_does(found, expected):
    test = expected["test"]
    ours = (found.test.t, found.test.p, *found.test.interval)
    assert ours == pytest.approx((test["t"], test["p"], *test["interval"]), rel=TOLERANCE)


def test_the_run_that_failed_is_named(found):
    ((run, reason),) = found.left_out
    assert run.status == "failed" and reason.startswith("DataError: Expected split.val")
    assert found.doubts == ()

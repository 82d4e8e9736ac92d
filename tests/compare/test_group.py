"""Groups by what differs, ranks, and what is said of the best two."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.compare.group import group
from tunesmith.compare.runs import find, read_all
from tunesmith.errors import RunError


@pytest.fixture
def compared(tmp_path):
    return lambda metric=None, mode=None: group(read_all(find([str(tmp_path / "logs")])), metric, mode)


def test_seeds_and_folds_are_replicates_and_the_rest_makes_groups(add, compared):
    for seed in (0, 1, 2):
        add(0.9 + seed / 100, seed, ("head=mlp", f"data.split.seed={seed}"), choices={"head": "mlp"})
        add(0.8 - seed / 100, seed, (f"data.split.fold={seed}", "name=other", "tags=[x]"), choices={"logger": "wandb"})
    found = compared()
    assert (found.metric, found.mode, found.keys) == ("test/accuracy", "max", ("head",))
    assert [g.settings["head"] for g in found.groups] == ["mlp", "linear"]
    assert [g.mean for g in found.groups] == pytest.approx([0.91, 0.79])
    assert [g.spread for g in found.groups] == pytest.approx([0.01, 0.01])
    assert [g.seconds for g in found.groups] == [3.5, 3.5]
    assert found.groups[0].best.metrics["test/accuracy"] == 0.92
    assert found.importance["head"] > 0.9


def test_runs_without_a_result_are_listed_and_never_averaged(add, compared):
    add(0.5, 0)
    add(0.9, 1, status="failed", error={"type": "RuntimeError", "message": "boom"})
    add(0.9, 2, status="running")
    add(None, 3)
    add(float("nan"), 4)
    found = compared()
    assert found.groups[0].values.tolist() == [0.5]
    reasons = {run.replicate.seed: reason for run, reason in found.left_out}
    assert reasons.keys() == {"1", "2", "3", "4"}
    assert (reasons["1"], reasons["3"], reasons["4"]) == ("RuntimeError: boom", *["it has no test/accuracy"] * 2)


def test_less_is_better_of_a_loss(add, compared):
    add(0.9, 0, ("x=1",)), add(0.8, 0, ("x=2",))
    assert [g.settings["x"] for g in compared("loss").groups] == ["1", "2"]
    assert [g.settings["x"] for g in compared("test/loss", "max").groups] == ["2", "1"]
    assert compared("loss").groups[0].best.metrics["test/loss"] == pytest.approx(0.1)


def test_a_key_that_only_some_runs_set_is_the_default_in_the_others(add, compared):
    add(0.5, 0), add(0.6, 0, ("optimizer.lr=1e-2",)), add(0.7, 1, ("optimizer.lr=0.01",))
    assert [(g.settings["optimizer.lr"], len(g.runs)) for g in compared().groups] == [("0.01", 2), ("default", 1)]


def test_a_run_made_twice_counts_once(add, compared):
    add(0.5, 0), add(0.6, 0), add(0.7, 1)
    found = compared()
    assert found.groups[0].values.tolist() == [0.6, 0.7]
    assert any("1 runs repeat" in note for note in found.notes)


def test_the_test_is_over_shared_replicates(add, compared):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, 5)
    for seed in range(5):
        add(0.7 + noise[seed], seed, ("x=1",))
        add(0.72 + noise[seed] + 0.002 * (seed % 2), seed, ("x=2",))
    add(0.99, 7, ("x=2",))  # no partner
    found = compared()
    assert found.test.pairs == 5 and found.test.p < 0.001
    assert found.test.difference == pytest.approx(0.0208)
    assert "x=2 and x=1" in found.verdict and "more than chance" in found.verdict
    assert "training images" not in found.verdict


def test_too_few_replicates_are_said(add, compared):
    for seed in (0, 1):
        add(0.7, seed, ("x=1",)), add(0.8, seed, ("x=2",))
    add(0.8, 5, ("x=2",))
    found = compared()
    assert found.test is None
    assert "Too few replicates" in found.verdict and "share 2 of the 3" in found.verdict


def test_folds_are_said_to_share_their_training_images(add, compared):
    for fold in range(3):
        add(0.7 + fold / 100, 0, ("x=1", f"data.split.fold={fold}"))
        add(0.8 - fold / 100, 0, ("x=2", f"data.split.fold={fold}"))
    assert "p is too small" in compared().verdict


def test_equal_results_are_called_equal(add, compared):
    for seed in range(3):
        add(0.7, seed, ("x=1",)), add(0.7, seed, ("x=2",))
    assert "have the same" in compared().verdict


def test_one_setting_has_nothing_to_be_told_apart_from(add, compared):
    add(0.7, 0), add(0.8, 1)
    found = compared()
    assert (found.keys, found.importance, found.groups[0].label) == ((), {}, "all runs")
    assert "one setting" in found.verdict


def test_no_mean_is_taken_over_different_data(add, compared):
    add(0.5, 0), add(0.9, 1, data={"fingerprint": "content:2"})
    found = compared()
    assert [len(g.runs) for g in found.groups] == [1, 1]
    assert found.keys == ("data fingerprint",)
    assert found.doubts[0].startswith("NOT COMPARABLE")


@pytest.mark.parametrize("change", [{"fingerprint": "content:2"}, {"members": {"test": "y"}}])
def test_no_test_is_made_over_different_images(add, compared, change):
    for seed in range(4):
        add(0.7 + seed / 100, seed, ("x=1",)), add(0.9, seed, ("x=2",), data=change)
    found = compared()
    assert found.test is None and "tested on different images" in found.verdict
    assert found.doubts[0].startswith("NOT COMPARABLE")


def test_what_cannot_be_compared_is_an_error(add, compared):
    add(None, 0, status="failed", error={"type": "DataError", "message": "boom"})
    with pytest.raises(RunError, match=r"Expected completed runs but got none.*DataError: boom"):
        compared()
    add(0.5, 1, monitor=None)
    with pytest.raises(RunError, match="Did you mean 'test/accuracy'"):
        compared("acuracy")


def test_without_a_monitor_the_metric_must_be_given(add, compared):
    add(0.5, 1, monitor={"metric": None, "mode": "min"})
    with pytest.raises(RunError, match="give one: metric="):
        compared()
    assert compared("accuracy").mode == "max" and compared("loss").mode == "min"


def test_different_monitors_are_said(add, compared):
    add(0.5, 0), add(0.5, 1), add(0.5, 2, monitor={"metric": "val/loss", "mode": "min"})
    found = compared()
    assert (found.metric, found.mode) == ("test/accuracy", "max")
    assert "val/accuracy, val/loss" in found.notes[0]

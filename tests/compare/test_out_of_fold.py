"""Predictions of all folds together."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.metrics import f1_score

from tunesmith.compare.group import group
from tunesmith.compare.out_of_fold import with_out_of_fold
from tunesmith.compare.runs import find, read_all

TRUTH = dict(zip("wxyz", "aabb", strict=True))
SAID = dict(zip("wxyz", "abbb", strict=True))
FOUR = {"splits": {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}}


@pytest.fixture
def pooled(tmp_path):
    def pool():
        (each,) = group(read_all(find([str(tmp_path / "logs")])), None, None).groups
        return with_out_of_fold(each)

    return pool


def fold(add, number, files, seed=0, **more):
    predicted = {f: (TRUTH[f], SAID[f]) for f in files}
    value = sum(t == s for t, s in predicted.values()) / len(files)
    add(value, seed, (f"data.split.fold={number}",), predicted=predicted, data=FOUR, **more)


def test_metrics_are_over_all_samples(add, pooled):
    fold(add, 0, "wxy"), fold(add, 1, "z")
    found, reason = pooled()
    assert reason == ""
    assert found.mean == pytest.approx((2 / 3 + 1) / 2)  # by fold, a fold of one counts as much as one of three
    assert found.out_of_fold["accuracy"] == 0.75
    expected = f1_score(list(TRUTH.values()), list(SAID.values()), average="macro")
    assert found.out_of_fold["macro_f1"] == pytest.approx(expected)


def test_leave_one_out(add, pooled):
    for number, name in enumerate("wxyz"):
        fold(add, number, name)
    assert pooled()[0].out_of_fold["accuracy"] == 0.75


def test_several_cross_validations_are_averaged(add, pooled):
    for seed in (0, 1):
        fold(add, 0, "wx", seed), fold(add, 1, "yz", seed)
    assert pooled()[0].out_of_fold["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("folds", "said"), [(("wx", "y"), "test 3 of 4 samples"), (("wx", "xyz"), "some are tested in several")]
)
def test_folds_that_do_not_make_a_whole_give_nothing(add, pooled, folds, said):
    for number, files in enumerate(folds):
        fold(add, number, files)
    found, reason = pooled()
    assert found.out_of_fold == {} and said in reason


def test_missing_predictions_are_said(add, pooled):
    for number in (0, 1):
        add(0.5, 0, (f"data.split.fold={number}",))
    assert "predictions.parquet" in pooled()[1]


def test_runs_that_are_no_folds_have_none_and_need_none(add, pooled):
    add(0.5, 0), add(0.6, 1)
    assert pooled()[0].out_of_fold == {} and pooled()[1] == ""


def test_values_of_some_folds_give_nothing(add, pooled):
    for number in (0, 1):
        data = {"target": "value", "class_names": ["age"], "splits": {"train": {"samples": 2}, "test": {"samples": 1}}}
        folder = add(0.5, 0, (f"data.split.fold={number}",), data=data)
        table = pa.table({"file": [str(number)], "target_age": [1.0], "age": [2.0]})
        pyarrow.parquet.write_table(table, folder / "predictions.parquet")
    found, reason = pooled()
    assert found.out_of_fold == {} and "test 2 of 3 samples" in reason


def test_values(add, pooled):
    for number, (true, said) in enumerate(((1.0, 1.5), (3.0, 2.0))):
        data = {"target": "value", "class_names": ["age"], "splits": {"test": {"samples": 2}}}
        folder = add(0.5, 0, (f"data.split.fold={number}",), data=data)
        table = pa.table({"file": [str(number)], "target_age": [true], "age": [said]})
        pyarrow.parquet.write_table(table, folder / "predictions.parquet")
    found, _ = pooled()
    assert found.out_of_fold == pytest.approx({"mae": 0.75, "rmse": 0.625**0.5, "r2": 1 - 1.25 / 2})


def test_several_labels_are_not_put_together(add, pooled):
    for number in (0, 1):
        add(0.5, 0, (f"data.split.fold={number}",), data={"target": "multilabel"})
    assert "not put together" in pooled()[1]

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.target.result import classes


def test_scores_of_each_name_are_0_where_nothing_could_be_right():
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    said = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], bool)
    found = classes.scores(truth, said, ("a", "b", "c"), "class")
    assert found["precision"].tolist() == [1, 0.5, 0]
    assert found["recall"].tolist() == [0.5, 1, 0]
    assert found["f1"].tolist() == pytest.approx([2 / 3, 2 / 3, 0])


def test_the_commonest_come_first_and_what_was_never_said_is_left_out():
    assert classes.summary(np.array([2, 0, 1200]), ("a", "b", "c")) == ["  1,200 c", "      2 a"]


def test_folds_are_put_together():
    truth, said = np.array(["a", "a", "b", "b"]), np.array(["a", "b", "b", "b"])
    assert classes.pooled(truth, said, ["a", "b"]) == {"accuracy": 0.75, "macro_f1": pytest.approx((2 / 3 + 0.8) / 2)}

from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.contract.spec import DataSpec
from tunesmith.errors import DataError
from tunesmith.target.value import TARGET

VALUES = np.array([[1, 10], [3, 20]], np.float32)


def test_nothing_is_counted_but_mean_and_spread_are_known():
    assert TARGET.counts(VALUES, ("a", "b")) is None and TARGET.occurrences(VALUES, ("a", "b")) is None
    assert TARGET.moments(VALUES, ("a", "b"), "images") == ((2, 15), (1, 5))
    with pytest.raises(DataError, match="'b' to vary over the images of train but it is always 7"):
        TARGET.moments(np.array([[1, 7], [2, 7]], np.float32), ("a", "b"), "images")


def test_values_are_finite():
    with pytest.raises(DataError, match="finite"):
        TARGET.check(np.array([[np.inf]], np.float32), ("a",))


def test_least_squares_give_the_values_themselves():
    values = torch.tensor([[0.0, 7.0]])
    assert TARGET.regressed(values) is values


def test_the_baseline_is_the_mean():
    said, name = TARGET.always(DataSpec(("a",), 3, "", "sample", target="value", target_mean=(2.5,)))
    assert (said.tolist(), name) == ([2.5], "the mean")


def test_folds_are_put_together():
    columns = {"target_a": np.array([1.0, 2.0]), "a": np.array([1.0, 4.0])}
    assert TARGET.pooled_columns(["a"]) == ["target_a", "a"]
    assert TARGET.pooled(columns, ["a"]) == pytest.approx({"mae": 1, "rmse": 2**0.5, "r2": -7})

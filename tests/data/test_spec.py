import logging
from dataclasses import replace

import numpy as np
import pytest

from tunesmith.data.spec import count, data_spec, warn_of_gaps
from tunesmith.data.table import Table
from tunesmith.errors import DataError

INDICES = {"train": np.arange(4), "test": np.array([4, 5])}


def table(targets, kind, names=("a", "b")):
    images = np.zeros((len(targets), 1, 1), np.uint8)
    return Table(images, np.asarray(targets), names, np.array([f"p{i}" for i in range(len(targets))]), 1, kind=kind)


@pytest.mark.parametrize("kind", ["class", "ordinal"])
def test_classes(kind):
    data = table([0, 0, 0, 1, 1, 1], kind)
    spec = data_spec(data, INDICES, "x", "sample")
    assert (spec.target, spec.train_counts, spec.train_size) == (kind, (3, 1), 4)
    assert spec.target_mean == spec.target_std == ()
    assert count(data, INDICES["test"]) == {"a": 0, "b": 2}


def test_labels():
    data = table(np.array([[1, 0], [1, 1], [0, 0], [1, 0], [0, 1], [0, 1]], np.float32), "multilabel")
    spec = data_spec(data, INDICES, "x", "sample")
    assert (spec.target, spec.train_counts, spec.train_size) == ("multilabel", (3, 1), 4)
    assert count(data, INDICES["test"]) == {"a": 0, "b": 2}


def test_weights_are_described_by_train_alone():
    data = table([0, 0, 0, 1, 1, 1], "class")
    assert data_spec(data, INDICES, "x", "sample").mean_weight == 1
    weighted = replace(data, weights=np.array([1, 2, 3, 4, 90, 90], np.float32))
    assert data_spec(weighted, INDICES, "x", "sample").mean_weight == 2.5
    nothing = replace(data, weights=np.array([0, 0, 0, 0, 1, 1], np.float32))
    with pytest.raises(DataError, match=r"^Expected images of train with a weight above 0 but .* data.weight=null.$"):
        data_spec(nothing, INDICES, "x", "sample")


def test_values_are_described_by_train_alone():
    data = table(np.array([[1, 10], [2, 10], [3, 10], [4, 50], [1e6, 0], [1e6, 0]], np.float32), "value")
    spec = data_spec(data, INDICES, "x", "sample")
    assert (spec.target, spec.train_counts, spec.train_size) == ("value", (), 4)
    assert spec.target_mean == pytest.approx((2.5, 20))
    assert spec.target_std == pytest.approx((1.25**0.5, 300**0.5))
    assert count(data, INDICES["test"]) == {"samples": 2}


def test_a_value_that_never_differs():
    data = table(np.array([[1, 7]] * 3 + [[2, 7]] * 3, np.float32), "value")
    with pytest.raises(DataError, match="Expected 'b' to vary over the images of train but it is always 7"):
        data_spec(data, INDICES, "x", "sample")


def test_a_class_that_a_split_lacks_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_gaps(table([0, 0, 0, 1, 1, 1], "class"), INDICES)
        warn_of_gaps(table([0, 0, 0, 1, 1, 1], "class"), {"test": np.array([0])})  # as in leave-one-out
    assert caplog.messages == ["Split test has no image of class a: its metrics say nothing about that."]

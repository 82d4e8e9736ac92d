from dataclasses import replace

import numpy as np
import pytest

from tunesmith.data.table import Table
from tunesmith.errors import DataError

GOOD = Table(np.zeros((4, 2, 2), np.uint8), np.array([0, 1, 0, 1]), ("a", "b"), np.array(list("wxyz")), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": np.array(["w"])}, "Expected 4 names"),
        ({"groups": np.zeros(3, np.int64)}, "Expected 4 groups"),
        ({"folders": np.array(["train"] * 5)}, "Expected 4 folders"),
        ({"targets": np.array([0, 1, 2, 1])}, "from 0 to 1 but got 0 to 2"),
        ({"targets": np.array([0, -1, 0, 1])}, "but got -1 to 1"),
        ({"class_names": ("a",), "targets": np.zeros(4, np.int64)}, "two classes"),
        ({"names": np.array(list("wxyy"))}, "name of its own"),
        ({"weights": np.ones(3, np.float32)}, "Expected 4 weights"),
        ({"weights": np.array([1, 1, 1, -1], np.float32)}, "number of at least 0"),
        ({"weights": np.array([1, 1, 1, np.nan], np.float32)}, "number of at least 0"),
        ({"kind": "value"}, r"one column for each of a, b but got targets of \(4,\)"),
        ({"kind": "value", "targets": np.zeros((4, 3), np.float32)}, "one column for each of a, b"),
        ({"kind": "value", "targets": np.full((4, 2), np.inf, np.float32)}, "finite number"),
        ({"kind": "multilabel", "targets": np.full((4, 2), 0.5, np.float32)}, "every label to be 0 or 1"),
        ({"channels": 4}, r"1 \(grey\) or 3"),
        ({"channels": 0}, r"1 \(grey\) or 3"),
        ({k: getattr(GOOD, k)[:0] for k in ("samples", "targets", "names")}, "at least one of the images"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        replace(GOOD, **change)


def test_length():
    assert len(GOOD) == 4


def test_keeping_some_rows_keeps_their_columns():
    columns = {"groups": np.arange(4), "folders": np.array(["train"] * 4), "weights": np.arange(4, dtype=np.float32)}
    for images in (GOOD.samples, list("abcd")):
        kept = replace(GOOD, samples=images, **columns).keep(np.array([0, 3]))
        assert kept.names.tolist() == ["w", "z"]
        assert kept.targets.tolist() == [0, 1]
        assert kept.groups.tolist() == kept.weights.tolist() == [0, 3]
        assert len(kept.samples) == len(kept.folders) == 2
    assert GOOD.keep(np.array([1, 2])).groups is None

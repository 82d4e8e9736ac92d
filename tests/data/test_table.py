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
        ({"channels": 4}, r"1 \(grey\) or 3"),
        ({k: getattr(GOOD, k)[:0] for k in ("pictures", "targets", "names")}, "at least one picture"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        replace(GOOD, **change)


def test_length():
    assert len(GOOD) == 4

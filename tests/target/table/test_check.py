from __future__ import annotations

import numpy as np
import pytest

from tunesmith.errors import DataError
from tunesmith.target.table.check import check_columns, check_finite, check_indices, counts_of, indicators

NAMES = ("a", "b", "c")


def test_counts_and_indicators():
    assert counts_of(np.array([0, 2, 2]), NAMES).tolist() == [1, 0, 2]
    assert indicators([(0, 2), ()], NAMES).tolist() == [[1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("check", "targets", "names", "sentence"),
    [
        (check_indices, [0, 3], NAMES, "from 0 to 2 but got 0 to 3"),
        (check_indices, [-1, 0], NAMES, "from 0 to 2 but got -1 to 0"),
        (check_indices, [0, 0], ("a",), "at least two classes but got a"),
        (check_columns, [[1.0, 2.0]], NAMES, r"for each of a, b, c but got targets of \(1, 2\)"),
        (check_columns, [1.0, 2.0], NAMES, r"got targets of \(2,\)"),
    ],
)
def test_what_cannot_be_is_refused(check, targets, names, sentence):
    with pytest.raises(DataError, match=sentence):
        check(np.array(targets), names)


def test_values_are_finite():
    check_finite(np.array([[1.0]]))
    with pytest.raises(DataError, match="finite"):
        check_finite(np.array([[np.nan]]))

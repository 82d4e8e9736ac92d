from __future__ import annotations

import numpy as np
import pytest

from tunesmith.target.table.strata import merged, rarest, tenths


def test_the_rarest_label_that_a_sample_has():
    assert rarest(np.array([[1, 0], [1, 1], [1, 0], [0, 0]])).tolist() == [0, 1, 0, 2]


def test_values_are_cut_into_ten_at_the_most():
    assert len(set(tenths(np.arange(100.0)).tolist())) == 10
    assert tenths(np.array([5.0, 1.0, 5.0])).tolist() == [1, 0, 1]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_there_are_no_more_than_asked_and_none_of_one_row(most):
    sizes = np.bincount(merged(np.array([0] * 5 + [1] * 3 + [2] * 2 + [3]), most))
    assert len(sizes) <= most and sizes.min() >= 2

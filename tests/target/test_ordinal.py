from __future__ import annotations

import numpy as np
import pytest

from tunesmith.errors import DataError
from tunesmith.target.class_ import TARGET as CLASS
from tunesmith.target.ordinal import TARGET
from tunesmith.target.result.samples import SamplePredictions


def test_between_two_classes_lie_others():
    with pytest.raises(DataError, match=r"data\.mixup=0"):
        TARGET.check_mixed()
    CLASS.check_mixed()


def test_two_levels_off_is_worse_than_one():
    p = np.full((3, 3), 1 / 3, np.float32)
    found = SamplePredictions(list("xyz"), p, np.array([0, 0, 0]), ("a", "b", "c"), TARGET, np.array([0, 1, 2]))
    assert found.wrongness() == pytest.approx([0, 4 / 3, 7 / 3])
    assert list(found.drawings()) == ["confusion_matrix"]

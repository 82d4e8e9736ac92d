from __future__ import annotations

import numpy as np
import pytest

from tunesmith.contract.spec import DataSpec
from tunesmith.target.base import of
from tunesmith.target.shared.one_class import OneClass, commonest

NAMES = ("a", "b", "c")


def test_the_commonest_class_of_train():
    said, name = commonest(DataSpec(NAMES, 3, "", "sample", train_counts=(1, 2, 5)))
    assert (said.tolist(), name) == ([0, 0, 1], "c")


@pytest.mark.parametrize("kind", ["class", "ordinal"])
def test_both_kinds_are_of_one_class_and_say_what_it_is(kind):
    target = of(kind)
    assert isinstance(target, OneClass) and target.exclusive
    assert target.occurrences(np.array([2, 0]), NAMES).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert target.in_words(1, NAMES) == "b"

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.contract.spec import DataSpec
from tunesmith.errors import DataError
from tunesmith.target.multilabel import TARGET

LABELS = np.array([[1, 0], [1, 1], [0, 0]], np.float32)


def test_counts_and_proportions_are_of_the_labels():
    assert TARGET.counts(LABELS, ("a", "b")).tolist() == [2, 1]
    assert TARGET.composition(LABELS, ("a", "b")).tolist() == [[1, 0, 1], [1, 1, 1], [0, 0, 1]]
    assert TARGET.plain(LABELS, ("a", "b")) == [[1, 0], [1, 1], [0, 0]]


def test_in_words():
    assert [TARGET.in_words(own, ("a", "b")) for own in LABELS] == ["a", "a, b", ""]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([[0.5, 1]], ("a", "b"), "0 or 1"),
        ([[np.nan, 1]], ("a", "b"), "0 or 1"),
        ([[1]], ("a",), "two labels"),
        ([[1, 0]], ("a",), "one column"),
    ],
)
def test_other_labels_are_refused(labels, names, message):
    with pytest.raises(DataError, match=message):
        TARGET.check(np.array(labels, np.float32), names)


def test_the_baseline_is_what_most_samples_have():
    said, name = TARGET.always(DataSpec(("a", "b"), 3, "", "sample", train_counts=(3, 2), train_size=4))
    assert (said.tolist(), TARGET.quoted(name)) == ([1, 0], "each label's majority")

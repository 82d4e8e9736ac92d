from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tunesmith.errors import DataError
from tunesmith.target.table.cells import classes_of, guess


class Columns:
    """Columns of a table, by name."""

    file = Path("t.csv")

    def __init__(self, **columns: list[str]) -> None:
        self.columns = columns

    def text(self, name):
        return np.array(self.columns[name])

    def between(self, names):
        return None

    def check(self, bad, name, expected):
        if bad.any():
            raise DataError(f"Expected {expected} in '{name}' of row {int(bad.argmax()) + 1}.")


@pytest.mark.parametrize(
    ("columns", "separator", "kind"),
    [
        ({"a": ["1", "2"]}, None, "class"),
        ({"a": ["1.5", "2"]}, None, "value"),
        ({"a": ["x", "2.5"]}, None, "class"),
        ({"a": ["x;y", ""]}, ";", "multilabel"),
        ({"a": ["1", "0"], "b": ["true", "False"]}, None, "multilabel"),
        ({"a": ["1", "0"], "b": ["3", "0"]}, None, "value"),
    ],
)
def test_cells_look_like_a_kind(columns, separator, kind):
    assert guess(Columns(**columns), list(columns), separator) == kind


def test_classes_are_sorted_or_in_the_order_that_is_given():
    found = classes_of(Columns(a=["low", "high", "low"]), ["a"], "class", None, ranked=False)
    assert (found.names, found.targets.tolist(), found.columns) == (("high", "low"), [1, 0, 1], ("a",))
    found = classes_of(Columns(a=["low", "high", "low"]), ["a"], "ordinal", ["low", "high"], ranked=True)
    assert (found.kind, found.names, found.targets.tolist()) == ("ordinal", ("low", "high"), [0, 1, 0])


@pytest.mark.parametrize(
    ("columns", "ranked", "sentence"),
    [
        ({"a": ["x", ""]}, False, "a class in 'a' of row 2"),
        ({"a": ["x"], "b": ["y"]}, False, "one column of labels for target=class but got a, b"),
        ({"a": ["low", "high"]}, True, "data.classes to give the order of high, low"),
    ],
)
def test_what_is_no_class_is_refused(columns, ranked, sentence):
    with pytest.raises(DataError, match=sentence):
        classes_of(Columns(**columns), list(columns), "class", None, ranked)

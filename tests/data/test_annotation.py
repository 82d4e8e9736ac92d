import numpy as np
import pytest

from tunesmith.data.annotation import Annotation
from tunesmith.data.columns import Columns
from tunesmith.errors import DataError

CELLS = {"label": ["a", "b"], "split": ["train", "Valid"], "group": ["x", "x"], "weight": ["1", "2"], "who": ["y", "z"]}


def table(cells=CELLS, **options):
    columns = Columns("t.csv", cells)
    return Annotation(**options).table(columns, [("one",), ("two",)], np.array(["1", "2"]), channels=0)


def test_usual_columns_are_taken_where_they_are():
    found = table()
    assert (found.folders.tolist(), found.groups.tolist(), found.weights.tolist()) == (["train", "val"], [0, 0], [1, 2])
    assert (found.what, found.group_unit) == ("texts", "group")
    bare = table({"label": ["a", "b"]})
    assert bare.folders is None and bare.groups is None and bare.weights is None


def test_others_are_named_or_left():
    found = table(group="who", split=None, weight=None)
    assert found.folders is None and found.weights is None and found.groups.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"a column 'hwo' in t.csv but there is none. Did you mean 'who'"):
        table(group="hwo")


def test_another_word_for_a_split():
    with pytest.raises(DataError, match=r"column 'split' of t.csv but row 2 has 'tset'. Did you mean 'test'"):
        table(CELLS | {"split": ["train", "tset"]})

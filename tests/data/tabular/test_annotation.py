import logging

import numpy as np
import pytest

from tunesmith.data.tabular.annotation import Annotation
from tunesmith.data.tabular.columns import Columns
from tunesmith.errors import DataError

CELLS = {"label": ["a", "b"], "split": ["train", "Valid"], "group": ["x", "x"], "weight": ["1", "2"], "who": ["y", "z"]}


def table(cells=CELLS, sources=(), **options):
    columns = Columns("t.csv", cells)
    return Annotation(**options).table(columns, [("one",), ("two",)], np.array(["1", "2"]), sources, "text")


def test_usual_columns_are_taken_where_they_are():
    found = table()
    assert (found.folders.tolist(), found.groups.tolist(), found.weights.tolist()) == (["train", "val"], [0, 0], [1, 2])
    assert (found.what, found.group_unit) == ("texts", "group")
    bare = table({"label": ["a", "b"]})
    assert bare.folders is None and bare.groups is None and bare.weights is None


@pytest.mark.parametrize("name", ["weight", "group", "split"])
def test_what_is_learnt_or_read_is_nothing_else_unasked(name):
    cells = CELLS | {"weight": ["1", "2.5"], name: ["0.5", "2.5"]}
    as_label, as_source = table(cells, labels=name, target="value"), table(cells, sources=[name])
    for found in (as_label, as_source):
        given = {"weight": found.weights, "group": found.groups, "split": found.folders}
        assert [key for key, values in given.items() if values is None] == [name]


def test_a_column_that_is_learnt_may_be_the_weight_where_it_is_named():
    found = table({"weight": ["0.5", "2.5"]}, labels="weight", target="value", weight="weight")
    assert found.weights.tolist() == [0.5, 2.5]


def test_what_was_taken_unasked_is_said_once(caplog):
    caplog.set_level(logging.INFO)
    table(weight="weight")
    assert caplog.messages == [
        "Taken from t.csv by name: split, group (not wanted: data.split_column=null, data.group=null)."
    ]
    caplog.clear()
    table({"label": ["a", "b"]})
    table(group="who", split=None, weight=None)
    assert not caplog.messages


def test_others_are_named_or_left():
    found = table(group="who", split=None, weight=None)
    assert found.folders is None and found.weights is None and found.groups.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"a column 'hwo' in t.csv but there is none. Did you mean 'who'"):
        table(group="hwo")


def test_another_word_for_a_split():
    with pytest.raises(DataError, match=r"column 'split' of t.csv but row 2 has 'tset'. Did you mean 'test'"):
        table(CELLS | {"split": ["train", "tset"]})

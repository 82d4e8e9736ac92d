from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from tunesmith.contract.asked import Asked
from tunesmith.target.result.sequences import SHOWN, Sequences, written

ROWS = pa.table({"file": ["a", "b"]})


def test_a_caption_says_nothing_where_there_is_nothing():
    found = Sequences(["a", "b"], ["x", ""], ROWS, ["", "y"], np.array([1.0, 0.5]), places=[4, 2])
    assert [found.caption(i) for i in range(2)] == ["a: x, true: nothing", "b: nothing, true: y"]
    assert [found.place(i) for i in range(2)] == [4, 2] and found.wrongness().tolist() == [1.0, 0.5]
    assert Sequences(["a"], ["x"], ROWS).place(0) == 0


def test_wandb_charts_the_f1_of_classes_where_there_are_any():
    class Plot:
        @staticmethod
        def bar(table, label, value, title):
            return table, label, value, title

    classes = pd.DataFrame({"entity": ["LOC"], "f1": [0.5]})
    found = Sequences(["a"], ["x"], ROWS, classes=classes).charts(Plot, lambda dataframe: len(dataframe))
    assert found == {"f1": (1, "entity", "f1", "f1")}
    assert Sequences(["a"], ["x"], ROWS).charts(Plot, None) == {}


def test_what_was_written_has_a_row_per_text_and_people_see_the_first():
    names = [f"t{i}" for i in range(SHOWN + 2)]
    found = written(Asked(names, names, "text"), [name.upper() for name in names])
    assert found.table().to_pydict() == {"text": names, "written": [name.upper() for name in names]}
    assert found.summary() == [name.upper() for name in names[:SHOWN]]

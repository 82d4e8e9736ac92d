from pathlib import Path

import pandas as pd
import pytest

from tunesmith.data.tabular.columns import Columns
from tunesmith.data.tabular.reading import Joined
from tunesmith.errors import DataError


@pytest.fixture
def columns(tmp_path):
    """Makes the columns of a table that was written as CSV or as Parquet."""

    def make(suffix="csv", **cells):
        file, frame = tmp_path / f"t.{suffix}", pd.DataFrame(cells)
        frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
        return Columns.read(file)

    return make


def found(columns, labels, target="auto", separator=None, classes=None):
    return columns.target([labels] if isinstance(labels, str) else labels, target, separator, classes)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("cells", "kind", "names", "targets"),
    [
        (["cat", "dog", "cat"], "class", ("cat", "dog"), [0, 1, 0]),
        ([10, 9, 10], "class", ("9", "10"), [1, 0, 1]),
        (["True", "False", "True"], "class", ("False", "True"), [1, 0, 1]),
        ([0.5, 1.0, -2.25], "value", ("y",), [[0.5], [1.0], [-2.25]]),
    ],
)
def test_one_column_says_by_its_cells_what_it_is(columns, suffix, cells, kind, names, targets):
    result = found(columns(suffix, y=cells), "y")
    assert (result.kind, result.names, result.targets.tolist()) == (kind, names, targets)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_several_columns(columns, suffix):
    table = columns(suffix, a=[1, 0, 1], b=[0, 0, 1], c=[1, 2, 3], d=[True, False, True])
    labels = found(table, ["a", "b", "d"])
    assert (labels.kind, labels.names) == ("multilabel", ("a", "b", "d"))
    assert labels.targets.tolist() == [[1, 0, 1], [0, 0, 0], [1, 1, 1]]
    floats = found(columns(suffix, a=[1.0, 0.0, 1.0], b=[0.0, 0.0, 1.0]), ["a", "b"])
    assert (floats.kind, floats.targets.tolist()) == ("multilabel", [[1, 0], [0, 0], [1, 1]])
    values = found(table, ["a", "c"])
    assert (values.kind, values.names, values.targets.tolist()) == ("value", ("a", "c"), [[1, 1], [0, 2], [1, 3]])
    assert str(values.targets.dtype) == "float32"


@pytest.mark.parametrize("target", ["auto", "multilabel"])
def test_lists_are_several_labels_without_being_told(target):
    table = Columns(Path("a.jsonl"), {"y": [Joined("b;a"), Joined(""), Joined("a")], "z": ["b;a", "", "a"]})
    labels = found(table, "y", target)
    assert (labels.kind, labels.names) == ("multilabel", ("a", "b"))
    assert labels.targets.tolist() == [[1, 1], [0, 0], [1, 0]]
    with pytest.raises(DataError):
        found(table, "z", target)


def test_labels_with_a_separator(columns):
    table = columns(y=["b; a", "", "a", "b;b"])
    labels = found(table, "y", separator=";")
    assert (labels.kind, labels.names) == ("multilabel", ("a", "b"))
    assert labels.targets.tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]
    assert found(table, "y", separator=";", classes=["b", "a"]).names == ("b", "a")


def test_an_order(columns):
    table = columns(size=["large", "small", "small"], grade=[2, 10, 2])
    ordered = found(table, "size", "ordinal", classes=["small", "large"])
    assert (ordered.kind, ordered.names, ordered.targets.tolist()) == ("ordinal", ("small", "large"), [1, 0, 0])
    assert found(table, "grade", "ordinal").names == ("2", "10")
    assert found(table, "size", classes=["small", "large"]).kind == "class"


def test_whole_numbers_can_be_values(columns):
    assert found(columns(age=[20, 31]), "age", "value").targets.tolist() == [[20], [31]]


def test_the_text_of_a_csv_is_kept(columns):
    assert found(columns(y=["007", "7", "NA"]), "y").names == ("007", "7", "NA")


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        (["a", "", "b"], {}, "a class in column 'y' of .* but row 2 has an empty cell"),
        (["1.5", "x", "2"], {"target": "value"}, "a number in column 'y' of .* but row 2 has 'x'"),
        (["1.5", "nan", "2"], {"target": "value"}, "row 2 has 'nan'"),
        (["1.5", "inf", "2"], {"target": "value"}, "row 2 has 'inf'"),
        (["1", "2", "0"], {"target": "multilabel"}, "0 or 1 in column 'y' of .* but row 2 has '2'"),
        (["a", "b", "c"], {"target": "ordinal"}, r"data.classes to give the order of a, b, c, … in column 'y'"),
        (
            ["cat", "dgo", "dog"],
            {"classes": ["cat", "dog"]},
            "only data.classes but row 2 has 'dgo'. Did you mean 'dog'",
        ),
        (["cat", "dog", "dog"], {"classes": ["cat", "eel", "dog"]}, "every class in data.classes but got none of eel"),
        (["", "", ""], {"separator": ";"}, "labels in column 'y' of .* but every cell is empty"),
    ],
)
def test_cells_that_do_not_fit(columns, cells, options, message):
    with pytest.raises(DataError, match=message):
        found(columns(y=cells), "y", **options)


def test_columns_that_do_not_fit(columns):
    table = columns(label=["a", "b"], other=["c", "d"])
    with pytest.raises(DataError, match=r"a column 'lable' in .* but there is none. Did you mean 'label'"):
        found(table, "lable")
    with pytest.raises(DataError, match="one column of labels for target=class but got label, other"):
        found(table, ["label", "other"], "class")
    with pytest.raises(DataError, match=r"one column of labels with data.separator but got label, other"):
        found(table, ["label", "other"], separator=";")


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"to end in .csv, .parquet or .jsonl but got .*t.xlsx"):
        Columns.read(tmp_path / "t.xlsx")
    with pytest.raises(DataError, match=r"but there is no file .*t.csv"):
        Columns.read(tmp_path / "t.csv")
    for name, content, reason in (("a.csv", b"", "cannot be read"), ("b.parquet", b"x", "cannot be read")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=reason):
            Columns.read(tmp_path / name)
    (tmp_path / "c.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="at least one row"):
        Columns.read(tmp_path / "c.csv")

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith.data.tabular import reading
from tunesmith.data.tabular.reading import Joined, lines_of
from tunesmith.errors import DataError


def read(file):
    """All cells by column."""
    batches = list(reading.read(file))
    names = dict.fromkeys(name for cells in batches for name in cells)
    return {
        name: [cell for cells in batches for cell in cells.get(name, [""] * len(next(iter(cells.values()))))]
        for name in names
    }


@pytest.fixture(autouse=True, params=[8192, 1])
def rows_at_once(request, monkeypatch):
    monkeypatch.setattr(reading, "AT_ONCE", request.param)


def test_three_kinds_of_files_give_the_same_cells(tmp_path):
    rows = [{"text": "good, and so on", "label": "007"}, {"text": "bad\nand so on", "label": None}]
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    for kind in ("csv", "parquet", "jsonl"):
        assert read(tmp_path / f"a.{kind}") == {"text": ["good, and so on", "bad\nand so on"], "label": ["007", ""]}


def test_a_comma_at_the_end_of_each_row_is_no_column(tmp_path):
    (tmp_path / "a.csv").write_text("path,label\n007,a,\nNA,b,\n")
    assert read(tmp_path / "a.csv") == {"path": ["007", "NA"], "label": ["a", "b"]}


def test_lists_become_their_items_in_parquet_and_json_lines(tmp_path):
    rows = [{"text": "good", "label": ["a", "b"]}, {"text": "bad", "label": []}, {"text": "so", "label": None}]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for kind in ("parquet", "jsonl"):
        cells = read(tmp_path / f"a.{kind}")["label"]
        assert cells == ["a;b", "", ""] and [isinstance(cell, Joined) for cell in cells] == [True, True, False]


def test_json_lines_may_lack_keys_and_hold_lists_and_numbers(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": ["x", "y"], "b": 1.5}\n{"b": true, "c": "z"}\n')
    assert read(tmp_path / "a.jsonl") == {"a": ["x;y", ""], "b": ["1.5", "True"], "c": ["", "z"]}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"text,label\ngood,a\nb\xff\xfed,b\n", r"to be text in UTF-8 but line 3 is not"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', r"to be text in UTF-8 but line 2 is not"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"line 2 is no JSON"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', r"line 2 is no object"),
        ("a.jsonl", b"\n", r"at least one row"),
        ("a.csv", b"text,label\n", r"at least one row"),
        ("a.csv", b"path,label\n1.png,a,\n2.png,b,c\n", r"rows with as many cells as the header but row 2 has more"),
        ("a.txt", b"", r"\.csv, \.parquet or \.jsonl"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_line(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"^Expected[^\n]*{sentence}[^\n]*$"):
        read(tmp_path / name)


def test_whole_numbers_beside_gaps_are_read_as_pandas_reads_them(tmp_path):
    frame = pd.DataFrame({"a": pd.array([1, 2, None], dtype="Int64"), "b": [1, 2, 3], "c": [True, None, False]})
    table = pa.table({"a": pa.array([1, 2, None]), "b": pa.array([1, 2, 3]), "c": pa.array([True, None, False])})
    pq.write_table(table, tmp_path / "arrow.parquet")
    frame.to_parquet(tmp_path / "pandas.parquet")
    for name, a in (("arrow", ["1.0", "2.0", ""]), ("pandas", ["1", "2", ""])):
        whole = pd.read_parquet(tmp_path / f"{name}.parquet")
        cells = read(tmp_path / f"{name}.parquet")
        assert cells == {"a": a, "b": ["1", "2", "3"], "c": ["True", "", "False"]}
        for column, own in cells.items():
            assert own == ["" if gone else str(v) for v, gone in zip(whole[column], whole[column].isna(), strict=True)]


def test_lines(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffgood\r\nb\u00e4d\n".encode())
    assert list(lines_of(tmp_path / "a.txt")) == ["good", "b\u00e4d"]
    (tmp_path / "a.txt").write_bytes(b"good\nb\xe4d\n")
    with pytest.raises(DataError, match=r"UTF-8 but line 2 is not"):
        list(lines_of(tmp_path / "a.txt"))

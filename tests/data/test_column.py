from operator import itemgetter

import numpy as np
import pyarrow as pa
import pytest

from tunesmith.data.column import Column, Mapped, RowNames, Texts, digest_texts


@pytest.fixture
def column():
    return Column(pa.chunked_array([["a", "b"], [], ["b", None, "\u00e4\U0001f600"]], pa.large_string()))


def test_a_column_is_a_sequence_of_strings(column):
    cells = ["a", "b", "b", "", "\u00e4\U0001f600"]
    assert list(column) == [column[i] for i in range(5)] == cells and column[-1] == cells[-1]
    assert column[1:3] == cells[1:3] and column[::2] == cells[::2] and column[3:1] == []
    assert column.array().tolist() == cells and column.array().dtype == np.array(cells).dtype
    assert column.lengths().tolist() == [len(cell) for cell in cells]
    with pytest.raises(IndexError, match=r"^Expected a position below 5 but got 5"):
        column[5]


def test_texts_and_what_is_made_of_them(column):
    texts = Texts([column, list("vwxyz")], prefix="say: ")
    pairs = [(f"say: {a}", b) for a, b in zip(column, "vwxyz", strict=True)]
    assert list(texts) == pairs and texts[1] == pairs[1] and texts[1:3] == pairs[1:3]
    assert list(Mapped(texts, itemgetter(1))) == list("vwxyz")
    assert list(Mapped(texts, itemgetter(slice(1)))[1:3]) == [(a,) for a, _ in pairs[1:3]]
    assert texts.digest == digest_texts(pairs) != digest_texts(pairs[::-1])
    assert Texts([column], digest="known").digest == "known"


def test_names_of_rows_are_an_array_where_one_is_asked_for():
    names = RowNames(12)
    array = np.array([f"row {i}" for i in range(1, 13)])
    assert names.tolist() == list(names) == array.tolist() and np.asarray(names).dtype == array.dtype
    rows = np.array([11, 0, 3])
    assert names[rows].tolist() == array[rows].tolist()
    even = np.arange(12) % 2 == 0
    assert names[even].tolist() == array[even].tolist()
    assert names[np.int64(3)] == names[3] == array[3] and names[2:4] == array[2:4].tolist()

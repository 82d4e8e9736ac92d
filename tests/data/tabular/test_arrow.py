"""Cells as Arrow columns: the same in memory and in a file, with columns that begin late, and whole or not there."""

from __future__ import annotations

import pytest

from tunesmith.data.tabular import arrow

BATCHES = (
    {"text": ["a", "", "é"], "label": ["x", "y", "x"]},
    {"text": ["d"], "label": ["z"], "late": ["1"]},
)


def cells(columns):
    return {name: [str(cell) for cell in column] for name, column in columns.items()}


def test_a_file_gives_what_memory_gives(tmp_path):
    path = tmp_path / "columns.arrow"
    arrow.write(iter(BATCHES), path)
    expected = {"text": ["a", "", "é", "d"], "label": ["x", "y", "x", "z"], "late": ["", "", "", "1"]}
    assert cells(arrow.mapped(path)) == cells(arrow.held(iter(BATCHES))) == expected


@pytest.mark.parametrize("content", [b"ARROW1", b"\x01" * 100])
def test_a_file_that_is_none_is_broken(content, tmp_path):
    path = tmp_path / "columns.arrow"
    path.write_bytes(content)
    with pytest.raises(arrow.BrokenColumnsError, match=r"columns\.arrow"):
        arrow.mapped(path)


def test_a_file_cut_short_is_broken_and_one_that_fails_is_not_there(tmp_path):
    path = tmp_path / "columns.arrow"
    arrow.write(iter(BATCHES), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(arrow.BrokenColumnsError):
        arrow.mapped(path)

    def failing():
        yield BATCHES[0]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        arrow.write(failing(), tmp_path / "other.arrow")
    assert not list(tmp_path.glob("*other*"))

from __future__ import annotations

import pytest

from tunesmith.atomic import atomic, write_text


def test_the_file_is_whole(tmp_path):
    write_text(tmp_path / "a.txt", "ä")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "ä"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="boom"), atomic(path) as temporary:
        temporary.write_text("ne")
        raise ValueError("boom")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_temporary_file_lies_in_the_same_folder(tmp_path):
    with atomic(tmp_path / "a.txt") as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("x")

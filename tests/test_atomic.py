from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tunesmith.atomic import atomic, write_bytes, write_text


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


def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_too(tmp_path, monkeypatch):
    steps, fsync, replace = [], os.fsync, Path.replace

    def synced(handle):
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda self, target: steps.append("moved") or replace(self, target))
    write_bytes(tmp_path / "a.bin", b"\x00")
    assert steps == ["file", "moved", "folder"] and (tmp_path / "a.bin").read_bytes() == b"\x00"


def test_handles_are_given_back(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(5):
        write_text(tmp_path / "a.txt", "x")
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_two_writers_have_a_temporary_file_each(tmp_path):
    path = tmp_path / "a.txt"
    with atomic(path) as one, atomic(path) as other:
        assert one != other and one.name.startswith(".a.txt.") and one.suffix == ".tmp"
        one.write_text("1")
        other.write_text("2")
    assert path.read_text() == "1"

"""Records that somebody has written by hand: one sentence each, and the others are compared."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tunesmith.compare.runs import read_all
from tunesmith.errors import TunesmithError
from tunesmith.run.record.run_folder import read

RECORDS = {
    "list": b"[]",
    "number": b"7",
    "text": b'"run"',
    "bad UTF-8": b'{"schema": 1, "id": "\xff"}',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep below a key": b'{"schema": 1, "id": "a", "status": "x", "policy": ' + b'{"a":' * 500 + b"1" + b"}" * 501,
    "long number": b'{"schema": 1' + b"0" * 5_000 + b"}",
    "no keys": b"{}",
    "no status": b'{"schema": 1}',
    "not a number": b'{"schema": NaN}',
    "other types": b'{"schema": 1, "id": "a", "status": "completed", "metrics": []}',
    "types below": b'{"schema": 1, "id": "a", "status": "completed", "metrics": {"test/accuracy": "high"}}',
    "a number as an id": b'{"schema": 1, "id": 3, "status": "completed"}',
    "empty": b"",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_another_shape_is_one_sentence_and_the_others_are_compared(name, sent, tmp_path, refused):
    bad, good = tmp_path / "bad", tmp_path / "good"
    shutil.copytree(sent, good)
    bad.mkdir()
    (bad / "run.json").write_bytes(RECORDS[name])
    with pytest.raises(TunesmithError) as caught:
        read(bad)
    assert str(caught.value).startswith("Expected") and "\n" not in str(caught.value) and len(str(caught.value)) < 500
    found = read_all([bad, good])
    assert sorted(run.status for run in found) == ["completed", "unreadable"]
    for command in ("evaluate", "export", "reproduce"):
        refused(command, f"run={bad}")


def test_files_that_never_end_are_not_read(sent, tmp_path, refused):
    for name in ("run.json", "config.yaml"):
        folder = tmp_path / name
        shutil.copytree(sent, folder)
        for replacement in ("fifo", "endless"):
            (folder / name).unlink()
            if replacement == "fifo":
                os.mkfifo(folder / name)
            else:
                (folder / name).symlink_to("/dev/zero")
            assert "not a regular file" in refused("evaluate", f"run={folder}")


def test_nan_among_the_metrics_is_a_number(sent, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(sent, folder)
    record = json.loads((folder / "run.json").read_text())
    record["metrics"]["test/loss"] = float("nan")
    (folder / "run.json").write_text(json.dumps(record))
    assert read(folder)["metrics"]["test/loss"] != read(folder)["metrics"]["test/loss"]

"""What is found, and what is read of it."""

from __future__ import annotations

import json

import pytest

from tunesmith.compare.runs import Replicate, find, read_all, read_run, settings_of
from tunesmith.errors import RunError
from tunesmith.run.record import process


def test_places_are_runs_folders_and_globs(add, tmp_path, monkeypatch):
    one, two = add(), add()
    (one / "checkpoints").mkdir()
    (one / "checkpoints" / "run.json").write_text("not a run")  # nothing is looked for inside a run
    odd = tmp_path / "logs [1]"
    (tmp_path / "logs").rename(odd)
    one, two = odd / one.name, odd / two.name
    monkeypatch.chdir(tmp_path)
    assert find(["."]) == find([str(odd)]) == find(["logs [1]", str(one)]) == [one, two]
    assert find([str(two)]) == find(["*/*-001"]) == find(["**/run-001/"]) == [two]


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(RunError, match="there is nothing at"):
        find([str(tmp_path / "logs-*")])
    with pytest.raises(RunError, match=r"found no run\.json"):
        find([str(tmp_path)])


def test_what_is_read(add):
    run = read_run(add(0.25, 3, ("data.split.fold=1", "data.split.seed=7", "optimizer.lr=1e-3", "name=x", "~a.b")))
    assert run.replicate == Replicate("3", "7", "1")
    assert run.settings == {"data": "digits", "head": "linear", "optimizer.lr": "0.001", "a.b": "left out"}
    assert (run.seconds, run.metrics["test/accuracy"], run.reason) == (3.5, 0.25, "")


def test_settings_are_text_in_one_way_of_writing():
    overrides = ["head=mlp", "++a.b=0.0010", "+c=[1,2]", "logger.wandb.mode=online", "tags=[x]", "data@x=y", "d=None"]
    assert settings_of({"head": "mlp", "callback": ["a", "b"], "debug": None, "data": "x"}, overrides) == {
        "head": "mlp",
        "callback": "a+b",
        "debug": "none",
        "data": "x",
        "a.b": "0.001",
        "c": "[1,2]",
        "d": "None",
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"status": "failed", "error": {"type": "DataError", "message": "Expected a\nfile."}},
            "DataError: Expected a file.",
        ),
        ({"status": "stopped", "error": {"type": "KeyboardInterrupt", "message": ""}}, "KeyboardInterrupt"),
        ({"status": "running", "process": process.identity()}, "not finished"),
        ({"status": "running", "process": {**process.identity(), "began": "earlier"}}, "killed: its process is gone"),
        ({"status": "running", "process": {"host": "elsewhere", "pid": 1}}, "not finished"),
    ],
)
def test_a_run_without_a_result_says_why(add, changes, reason):
    assert read_run(add(**changes)).reason == reason


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 0}'])
def test_a_record_that_cannot_be_read_says_so(add, text):
    folder = add()
    (folder / "run.json").write_text(text)
    run = read_run(folder)
    assert run.status == "unreadable" and run.reason


def test_runs_come_in_the_order_of_their_start(add):
    early, late = add(started="2026-02-02"), add(started="2026-01-01")
    assert [run.folder for run in read_all([early, late])] == [late, early]


def test_what_an_older_version_did_not_record_is_missed(add):
    folder = add()
    record = json.loads((folder / "run.json").read_text())
    del record["monitor"]
    (folder / "run.json").write_text(json.dumps(record))
    assert read_run(folder).monitor is None

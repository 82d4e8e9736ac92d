import json
import os
import threading
from datetime import datetime, timezone

import pytest

from tunesmith.errors import RunError
from tunesmith.sweep import journal as journals
from tunesmith.sweep.protocol import Job, Result
from tunesmith.sweep.search.space import CONFIGURATION

CONTENT = {"name": "digits", "command": "tunesmith train -m seed=0,1", "search": {"seed": "0,1", "head": "mlp"}}


def write_lines(path, line):
    for _ in range(50):
        journals.append(path, line)


def test_the_manifest_is_written_once(tmp_path):
    first = journals.open_sweep(tmp_path / "s", CONTENT)
    second = journals.open_sweep(tmp_path / "s", {**CONTENT, "command": "the same, with more slots"})
    assert first.manifest == second.manifest and first.name.startswith("digits-")


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"seed": "0,2", "head": "mlp"}, "seed was 0,1 and is 0,2"),
        ({"seed": "0,1"}, "head was mlp and is left alone"),
        ({"seed": "0,1", "head": "mlp", "loss": "nll"}, "loss was left alone and is nll"),
    ],
)
def test_another_search_is_refused_with_the_difference(search, said, tmp_path):
    journals.open_sweep(tmp_path, CONTENT)
    with pytest.raises(RunError, match=f"but got another: {said}. Choose another sweep.dir"):
        journals.open_sweep(tmp_path, {**CONTENT, "search": search})


def test_what_happened_is_read_back(tmp_path):
    journal = journals.open_sweep(tmp_path, CONTENT)
    jobs = [Job(n, (f"seed={n}",)) for n in range(3)]
    for job in jobs:
        journal.started(job)
    journal.ended(jobs[0], Result("completed", journal.run_folder(0), seconds=1.5), 0)
    journal.ended(jobs[1], Result("failed", journal.run_folder(1), reason="lost"), 1)
    read = journals.read(tmp_path)
    assert [entry.job for entry in read.entries.values()] == jobs
    assert [entry.result and entry.result.status for entry in read.entries.values()] == ["completed", "failed", None]
    assert (read.entries[0].result.seconds, read.entries[1].result.reason) == (1.5, "lost")
    before = journal.run_folder(1)
    journal.again(jobs[1])
    read.refresh()
    assert (
        read.entries[1].result is None and read.run_folder(1) != before and read.run_folder(0) == journal.run_folder(0)
    )


def test_what_happens_in_a_round_counts_in_that_round_alone(tmp_path):
    """Of another launcher that has not yet read that the job began anew."""
    one, job = journals.open_sweep(tmp_path, CONTENT), Job(0, ("seed=0",))
    one.started(job)
    other = journals.read(tmp_path)
    one.ended(job, Result("failed", one.run_folder(0), seconds=2.0), 1)
    one.again(job)
    assert one.run_folder(0) != other.run_folder(0)
    lines = [
        {"event": "ended", "round": 0, "folder": "x", "status": "completed", "seconds": 1, "reason": ""},
        {"event": "stopped", "round": 0, "seconds": 7.0},
        {"event": "again", "round": 1},
        {"event": "again", "round": 0},
    ]
    one.note(job, "stopped", seconds=3.0)
    for line in lines:
        journals.append(tmp_path / "journal.jsonl", json.dumps({"job": 0, **line}))
    for journal in (one, other, journals.read(tmp_path)):
        journal.refresh()
        entry = journal.entries[0]
        assert (entry.round, entry.result, entry.spent) == (1, None, 3.0)
    one.ended(job, Result("completed", one.run_folder(0), seconds=4.0), 0)
    other.refresh()
    assert other.entries[0].result.status == "completed" and other.count() == 1
    one.again(job)
    assert (one.entries[0].round, one.entries[0].result, one.entries[0].spent, one.count()) == (2, None, 0.0, 0)


def test_the_seconds_of_a_stopped_attempt_are_those_of_all_before_too(tmp_path):
    """Whoever notes them has added up: a line that is read twice, or noted twice, adds nothing."""
    journal, job = journals.open_sweep(tmp_path, CONTENT), Job(0, ())
    journal.started(job)
    for seconds in (2.0, 5.0, 5.0):
        journal.note(job, "stopped", seconds=seconds)
    journal.note(job, "stopped")
    assert journal.entries[0].spent == journals.read(tmp_path).entries[0].spent == 5.0
    journal.note(job, "retried", seconds=9.0)
    assert journal.entries[0].spent == 5.0


def test_of_two_launchers_that_make_a_sweep_at_once_ones_manifest_counts(tmp_path, monkeypatch):
    link, made = os.link, []

    def late(source, target):
        monkeypatch.setattr(os, "link", link)
        made.append(journals.open_sweep(tmp_path, CONTENT))
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert journals.open_sweep(tmp_path, CONTENT).manifest == made[0].manifest == journals.read(tmp_path).manifest
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_a_run_is_named_by_its_job_and_its_sweep_and_its_round(tmp_path):
    journal = journals.open_sweep(tmp_path / "s", CONTENT)
    name, job = journal.manifest["id"], Job(300, ())
    assert journal.name == f"digits-{name}" and len(name) == 8
    assert journal.run_folder(300) == tmp_path / "s" / f"0300-{name}012c0"
    journal.started(job)
    for _ in range(10):
        journal.again(job)
    assert journal.run_folder(300).name == f"0300-{name}012ca"


def test_what_a_line_says(tmp_path):
    journal = journals.open_sweep(tmp_path, CONTENT)
    job, folder = Job(2, ("seed=2",)), journal.run_folder(2)
    result = Result("failed", folder, 0.5, "val/loss", "min", {}, 1.23456, "lost")
    journal.started(job)
    journal.ended(job, result, 3)
    journal.again(job)
    journal.started(job)
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    times = [datetime.fromisoformat(line.pop("at")) for line in lines]
    assert all(time.tzinfo is timezone.utc for time in times) and times == sorted(times)
    common = {"job": 2, "round": 0, "changes": ["seed=2"], "folder": folder.name}
    ended = {"status": "failed", "seconds": 1.235, "reason": "lost", "objective": 0.5, "monitor": "val/loss"}
    assert lines == [
        {"event": "started", **common},
        {"event": "ended", **common, **ended, "exit_code": 3},
        {"event": "again", "job": 2, "round": 1},
        {"event": "started", **common, "round": 1, "folder": journal.run_folder(2).name},
    ]


def test_a_line_that_is_still_being_written_is_read_once_it_is_whole(tmp_path):
    journal = journals.open_sweep(tmp_path, CONTENT)
    assert journal.count() == 0 and not journal.entries
    lines = [f'{{"event": "started", "job": {n}, "round": 0}}\n'.encode() for n in range(3)]
    with (tmp_path / "journal.jsonl").open("ab", buffering=0) as file:
        for piece, known in (
            (lines[0] + lines[1][:9], [0]),
            (lines[1][9:], [0, 1]),
            (b"", [0, 1]),
            (lines[2], [0, 1, 2]),
        ):
            file.write(piece)
            journal.refresh()
            assert list(journal.entries) == known
    assert journal.entries[1].job == Job(1, ())


def test_a_line_is_on_disk_before_anything_else_happens(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size) or fsync(handle))
    path = tmp_path / "lines"
    for line in ("a", "bc"):
        journals.append(path, line)
    assert path.read_bytes() == b"a\nbc\n" and synced == [2, 5]
    path.write_bytes(b"torn")
    journals.append(path, "d")
    assert path.read_bytes() == b"torn\nd\n"
    synced.clear()
    journals.open_sweep(tmp_path / "s", CONTENT)
    assert synced == [(tmp_path / "s" / "sweep.json").stat().st_size]


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"Expected to make the sweep's folder .*file/s but got: Not a directory"):
        journals.open_sweep(tmp_path / "file" / "s", CONTENT)


def configured(digest="a", **values):
    return {**CONTENT, "search": {"seed": "0,1", CONFIGURATION: digest}, "values": values}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (configured("b", lr="1"), "lr was 0 and is 1"),
        (configured("b", lr="0"), f"{CONFIGURATION} was a and is b"),
        ({**configured("b", lr="1"), "search": {"seed": "2", CONFIGURATION: "b"}}, "seed was 0,1 and is 2"),
        (
            configured("b", **{f"k{n}": "1" for n in range(7)}),
            "lr was 0 and is left alone; k0 was left alone and is 1; .*k3 was left alone and is 1; and 3 more",
        ),
        (
            configured("b", lr="0", **{f"k{n}": "1" for n in range(5)}),
            "k0 was left alone and is 1; .*k4 was left alone and is 1. Choose",
        ),
    ],
)
def test_where_the_same_was_typed_what_the_files_say_otherwise_is_named(now, said, tmp_path):
    journals.open_sweep(tmp_path, configured("a", lr="0"))
    journals.open_sweep(tmp_path, configured("a", lr="5"))  # one digest is one configuration
    with pytest.raises(RunError, match=f"but got another: {said}"):
        journals.open_sweep(tmp_path, now)


def test_a_list_of_jobs_may_go_on_where_another_ends(tmp_path):
    jobs = [["seed=0"], ["seed=1"]]
    journals.open_sweep(tmp_path, {**CONTENT, "jobs": jobs})
    journals.open_sweep(tmp_path, CONTENT)
    journals.open_sweep(tmp_path, {**CONTENT, "jobs": [*jobs, ["seed=2"]]})
    with pytest.raises(RunError, match=r"another: job 0 was seed=0 and is seed=1\. Choose"):
        journals.open_sweep(tmp_path, {**CONTENT, "jobs": jobs[::-1]})


def test_run_ids_differ_between_sweeps(tmp_path):
    folders = [journals.open_sweep(tmp_path / name, CONTENT).run_folder(0).name for name in "ab"]
    assert len({folder.rpartition("-")[2] for folder in folders}) == 2


@pytest.mark.parametrize("damage", [b'{"event": "ended", "jo', b"\x00\xff\xfe", b"[1]\n", b"7\n{}\n"])
def test_a_damaged_line_costs_no_other(damage, tmp_path):
    journal = journals.open_sweep(tmp_path, CONTENT)
    journal.started(Job(0, ()))
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(damage)
    journal.started(Job(1, ()))
    assert list(journals.read(tmp_path).entries) == [0, 1]


def test_lines_of_two_writers_stay_whole(tmp_path):
    path = tmp_path / "lines"
    other = threading.Thread(target=write_lines, args=(path, "x" * 5000))
    other.start()
    while other.is_alive():
        journals.append(path, "y" * 5000)
    other.join()
    lines = path.read_text().splitlines()
    assert set(map(len, lines)) <= {0, 5000} and lines.count("x" * 5000) == 50


def test_no_sweep_is_there(tmp_path):
    with pytest.raises(RunError, match="Expected a sweep's folder"):
        journals.read(tmp_path)
    (tmp_path / "sweep.json").write_text('{"schema": 9}')
    with pytest.raises(RunError, match="to have schema 1 but got 9"):
        journals.read(tmp_path)


# ── a journal that somebody has altered ─────────────────────────────────────────────────────────────────────────────

HOSTILE = {
    "flags": {"job": 1, "changes": ["--allow=os.mkdir", "+callback.x={_target_: os.mkdir}"]},
    "a flag as a value": {"job": 1, "changes": ["seed=--allow=os.mkdir"]},
    "another key": {"job": 1, "changes": ["seed=1", "backbone=mine"]},
    "a value that is not searched": {"job": 1, "changes": ["seed=7"]},
    "twice": {"job": 1, "changes": ["seed=1", "seed=0"]},
    "none": {"job": 1},
    "later": {"job": 0, "changes": ["seed=7"]},
    "a folder elsewhere": {"job": 1, "changes": ["seed=1"], "folder": "../other"},
    "the folder above": {"job": 1, "changes": ["seed=1"], "folder": ".."},
    "a folder by its whole path": {"job": 1, "changes": ["seed=1"], "folder": "/tmp"},
    "a negative job": {"job": -1, "changes": ["seed=1"]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_the_searcher_would_not_give_runs_no_job(name, tmp_path, pretend):
    space = pretend.space("seed=0,1")
    journal = journals.open_sweep(tmp_path, CONTENT, space)
    journal.started(Job(0, ("seed=0",)))
    line = {"event": "started", "round": 0, **HOSTILE[name]}
    journals.append(tmp_path / "journal.jsonl", json.dumps(line))
    with pytest.raises(RunError, match=r"Expected line 2 of .*journal\.jsonl to be of this sweep"):
        journals.open_sweep(tmp_path, CONTENT, space)


@pytest.mark.parametrize(
    "change", [{"id": "../../x"}, {"id": 3}, {"name": ["x"]}, {"search": []}, {"jobs": "x"}, {"schema": "1"}]
)
def test_a_manifest_of_another_shape_is_one_sentence(change, tmp_path):
    journals.open_sweep(tmp_path, CONTENT)
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match="Expected"):
        journals.read(tmp_path)

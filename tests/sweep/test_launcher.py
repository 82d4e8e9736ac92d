from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunesmith.errors import RunError
from tunesmith.sweep import journal as journals
from tunesmith.sweep import launcher as launching
from tunesmith.sweep.protocol import Handle, Job, Searcher
from tunesmith.sweep.rules import Rules

FAULTS = "kind=fine,raise,exit,kill,mistake"


def began():
    path = Path("began.txt")
    return path.read_text().split() if path.exists() else []


def states(done):
    return {number: result.status for number, result in done.items()}


def test_one_jobs_end_is_not_anothers(pretend, tmp_path):
    launcher = pretend.launch(tmp_path / "sweep", FAULTS, "seed=1,2")
    done = pretend.results(launcher)
    assert states(done) == {n: "completed" if n < 2 else "failed" for n in range(10)}
    assert [done[n].objective for n in (0, 1)] == [0.1, 0.2]
    assert done[0].metrics["val/accuracy"] == 0.0  # the objective is the best value, not the last
    reasons = [done[n].reason for n in (2, 4, 6, 8)]
    assert reasons == [
        "ValueError: no good",
        "called sys.exit(3)",
        "killed by SIGKILL",
        "Expected one thing but got another.",
    ]


def test_a_sweep_that_is_done_runs_nothing_again(pretend, tmp_path):
    pretend.launch(tmp_path / "sweep", "seed=range(0,4)")
    assert len(began()) == 4
    again = pretend.launch(tmp_path / "sweep", "seed=range(0,4)")
    assert len(began()) == 4
    assert [result.objective for result in pretend.results(again).values()] == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("slots", [4, 3])
def test_slots_run_at_once(pretend, tmp_path, slots):
    """Each job waits until all four have begun; of three slots, the first three jobs wait in vain."""
    words = ["kind=together", "seed=range(0,4)", *(["patience=0.3"] if slots == 3 else [])]
    done = states(pretend.results(pretend.launch(tmp_path / "sweep", *words, slots=slots)))
    assert [done[n] for n in range(4)] == (["completed"] * 4 if slots == 4 else ["failed"] * 3 + ["completed"])


def test_another_space_in_the_same_folder_is_refused(pretend, tmp_path):
    pretend.launch(tmp_path / "sweep", "seed=1,2")
    with pytest.raises(RunError, match="words was seed=1,2 and is seed=1,3"):
        pretend.launch(tmp_path / "sweep", "seed=1,3")
    assert began() == ["1", "2"]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_launcher_that_was_killed_is_gone_on_with(pretend, tmp_path, signal_number):
    words = ["seed=range(0,8)", "until=4"]  # the fifth does not end while the launcher lives
    child = subprocess.Popen([sys.executable, str(pretend.path), str(tmp_path / "sweep"), *words])
    journal = tmp_path / "sweep" / "journal.jsonl"
    while not journal.exists() or journal.read_text().count('"ended"') < 3:
        time.sleep(0.01)
    child.send_signal(signal_number)
    child.wait()
    Path("released").touch()
    assert 3 <= journal.read_text().count('"ended"') <= 4
    with journal.open("a") as file:
        file.write('{"event": "ended", "job": 7, "rou')  # cut short
    done = pretend.results(pretend.launch(tmp_path / "sweep", *words))
    undisturbed = pretend.results(pretend.launch(tmp_path / "other", *words[:1]))
    assert {n: (r.status, r.objective) for n, r in done.items()} == {
        n: (r.status, r.objective) for n, r in undisturbed.items()
    }
    counts = [began().count(str(n)) for n in range(8)]
    assert sum(counts) <= 8 + 8 + 1  # the other sweep's, and at most the job under way a second time


def test_a_second_ctrl_c_kills_what_does_not_stop(pretend, tmp_path):
    child = subprocess.Popen([sys.executable, str(pretend.path), str(tmp_path / "sweep"), "kind=stubborn", "seed=1,2"])
    while not (pids := [p for p in tmp_path.glob("sweep/*/pid") if p.read_text()]):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.7)  # the job does not stop, and is waited for
    child.send_signal(signal.SIGINT)
    child.wait(30)  # the job would not end before 60 s
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0].read_text()), 0)
    assert began() == ["1"]


def test_two_launchers_run_each_job_once(pretend, tmp_path):
    words = ["seed=range(0,10)", "seconds=0.1"]
    children = [
        subprocess.Popen([sys.executable, str(pretend.path), str(tmp_path / "sweep"), *words]) for _ in range(2)
    ]
    assert [child.wait() for child in children] == [0, 0]
    assert sorted(began(), key=int) == [str(n) for n in range(10)]
    owners = set()
    for number in range(10):
        claim = tmp_path / "sweep" / "claims" / f"{number:04d}-1.json"  # a second one found the job ended
        owners.add(json.loads(claim.read_text())["owner"]["pid"])
    assert owners <= {child.pid for child in children}


def test_a_failed_job_is_tried_again(pretend, tmp_path):
    launcher = pretend.launch(tmp_path / "sweep", "kind=once", "seed=4,5", rules=Rules(retries=1))
    assert states(pretend.results(launcher)) == {0: "completed", 1: "completed"}
    assert began() == ["4", "4", "5"]


def test_retries_end(pretend, tmp_path):
    launcher = pretend.launch(tmp_path / "sweep", "kind=raise", "seed=4,5", rules=Rules(retries=2))
    assert states(pretend.results(launcher)) == {0: "failed", 1: "failed"}
    assert began() == ["4"] * 3 + ["5"] * 3


def test_a_failure_can_stop_the_sweep(pretend, tmp_path):
    launcher = pretend.launch(tmp_path / "a", "kind=fine,raise,fine,exit", "seed=1,2", rules=Rules(on_failure="stop"))
    assert states(pretend.results(launcher)) == {0: "completed", 1: "completed", 2: "failed"}
    launcher = pretend.launch(tmp_path / "b", "kind=raise,exit,fine", "seed=1,2", rules=Rules(max_failures=3))
    assert states(pretend.results(launcher)) == dict.fromkeys(range(3), "failed")


@pytest.fixture
def clock(monkeypatch):
    """The launcher's clock, which a test's `tick` puts forward between two looks."""

    def sleep(seconds):
        time.sleep(seconds)
        clock.forward = clock.tick()

    clock = SimpleNamespace(forward=0.0, sleep=sleep, monotonic=lambda: time.monotonic() + clock.forward)
    monkeypatch.setattr(launching, "time", clock)
    return clock


def test_a_job_that_takes_too_long_is_stopped(pretend, tmp_path, clock):
    clock.tick = lambda: 1000.0 * any(tmp_path.glob("sweep/*/metrics.jsonl"))  # once the slow one is under way
    launcher = pretend.launch(tmp_path / "sweep", "kind=slow,fine", "seed=1", rules=Rules(timeout=500.0))
    done = pretend.results(launcher)
    assert states(done) == {0: "failed", 1: "completed"}
    assert done[0].reason == "took longer than 500 s"


class Pruner(Searcher):
    """Stops its one job at the third value."""

    def __init__(self):
        self.jobs, self.histories, self.told = [Job(0, ("kind=slow", "seed=1"))], [], []

    def ask(self, free):
        return [self.jobs.pop()] if self.jobs else []

    def tell(self, job, result):
        self.told.append(result)

    def prune(self, job, history):
        self.histories.append(list(history))
        return len(history) >= 3


def test_a_searcher_may_stop_a_job(pretend, tmp_path):
    searcher = Pruner()
    launcher = pretend.launch(tmp_path / "sweep", searcher=searcher)
    (result,) = searcher.told
    assert result.status == "pruned" and pretend.results(launcher)[0] == result
    assert searcher.histories[-1][:3] == [(0, 0.0), (1, 0.001), (2, 0.002)]
    assert result.objective >= 0.002  # of what was logged, since the run did not come to write its best


def test_what_failed_can_be_run_again(pretend, tmp_path):
    first = pretend.launch(tmp_path / "sweep", "kind=raise,fine", "seed=1")
    journal = journals.read(tmp_path / "sweep")
    journal.again(Job(0, ("kind=raise", "seed=1")))
    again = pretend.launch(tmp_path / "sweep", "kind=raise,fine", "seed=1")
    folders = [pretend.results(launcher)[0].folder for launcher in (first, again)]
    assert folders[0] != folders[1] and all(folder.is_dir() for folder in folders)
    assert began() == ["1", "1", "1"]


@pytest.mark.parametrize("queued", [True, False])
def test_waiting_in_a_queue_is_no_time_of_the_job(pretend, tmp_path, monkeypatch, clock, queued):
    def begun(handle):
        if clock.forward == 1000.0:
            Path("released").touch()
        return not queued or clock.forward == 1000.0

    clock.tick = lambda: 1000.0
    monkeypatch.setattr(Handle, "begun", begun)
    launcher = pretend.launch(tmp_path / "queued", "seed=1", "until=1", rules=Rules(timeout=500.0))
    (done,) = pretend.results(launcher).values()
    assert done.status == ("completed" if queued else "failed") and (done.seconds < 500.0) == queued


def test_seconds_of_a_job_that_was_stopped_are_counted(pretend, tmp_path):
    words = ["seed=1", "seconds=0.1"]
    folder = tmp_path / "sweep"
    journal = journals.open_sweep(folder, {"name": "pretended", "command": "", "search": {"words": " ".join(words)}})
    journal.started(Job(0, ("seed=1",)))
    journal.note(Job(0, ("seed=1",)), "stopped", seconds=5000.0)
    done = pretend.results(pretend.launch(folder, *words))
    assert done[0].seconds > 5000.0
    journals.read(folder).again(Job(0, ()))  # begun anew, nothing of it counts
    done = pretend.results(pretend.launch(folder, *words))
    assert done[0].seconds < 5000.0


def test_a_signal_leaves_the_seconds_in_the_journal(pretend, tmp_path):
    child = subprocess.Popen([sys.executable, str(pretend.path), str(tmp_path / "sweep"), "kind=slow", "seed=1"])
    while not list(tmp_path.glob("sweep/*/run.json")):
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    child.wait()
    assert journals.read(tmp_path / "sweep").entries[0].spent > 0

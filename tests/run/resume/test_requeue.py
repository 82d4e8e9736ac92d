"""SLURM puts a job back into its queue where the run can go on; `test_signals.py` has that it is saved first."""

from __future__ import annotations

import subprocess

import pytest

from tunesmith.errors import StoppedError
from tunesmith.run.resume import requeue


@pytest.mark.parametrize(
    ("name", "resumes", "task", "refuse", "asked", "says"),
    [
        ("SIGUSR1", True, None, "0", ["requeue 17"], "Requeued SLURM job"),
        ("SIGUSR2", True, "3", "0", ["requeue 9_3"], "Requeued SLURM job"),
        ("SIGUSR1", False, None, "0", [], "resume=auto"),
        ("SIGTERM", True, None, "0", [], ""),
        ("SIGINT", True, None, "0", [], ""),
        ("SIGUSR1", True, None, "1", ["requeue 17"], "Expected SLURM to requeue job 17"),
    ],
)
def test_which_jobs_are_put_back(name, resumes, task, refuse, asked, says, slurm, monkeypatch, capsys):
    monkeypatch.setenv("REFUSE", refuse)
    if task:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "9")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    assert requeue.requeue(StoppedError(name), resumes) == (bool(asked) and refuse == "0")
    assert slurm() == asked and says in capsys.readouterr().err


def test_outside_of_slurm_nobody_is_asked(capsys):
    assert not requeue.requeue(StoppedError("SIGUSR1"), True)
    assert capsys.readouterr().err == ""


def test_without_scontrol_it_is_a_sentence(slurm, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert not requeue.requeue(StoppedError("SIGUSR1"), True)
    assert "Expected SLURM" in capsys.readouterr().err


def test_a_further_process_of_the_job_asks_for_nothing(slurm, monkeypatch, capsys):
    monkeypatch.setattr(requeue, "is_main", lambda: False)
    assert not requeue.requeue(StoppedError("SIGUSR1"), True)
    assert slurm() == [] and capsys.readouterr().err == ""


def test_an_array_is_named_by_both_of_its_numbers(slurm, monkeypatch):
    for name, value, job in (("TASK", "", "17"), ("TASK", "0", "9_0"), ("JOB", "", "17")):
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "9")
        monkeypatch.setenv(f"SLURM_ARRAY_{name}_ID", value)
        assert requeue._job() == job


@pytest.mark.parametrize(("said", "expected"), [("no such job", "no such job"), ("", "1")])
def test_what_slurm_says_is_passed_on(said, expected, slurm, monkeypatch, capsys):
    def refuse(words, **options):
        assert options["timeout"] == 60 and not options["check"]
        return subprocess.CompletedProcess(words, 1, "", f" {said}\n")

    monkeypatch.setattr(requeue.subprocess, "run", refuse)
    assert requeue.requeue(StoppedError("SIGUSR1"), True) is False
    assert capsys.readouterr().err == f"tunesmith: Expected SLURM to requeue job 17 but got: {expected}.\n"


def test_who_waits_too_long_for_slurm_gives_up(slurm, monkeypatch, capsys):
    def wait(words, **options):
        raise subprocess.TimeoutExpired(words, 60)

    monkeypatch.setattr(requeue.subprocess, "run", wait)
    assert requeue.requeue(StoppedError("SIGUSR1"), True) is False
    assert "timed out after 60 seconds" in capsys.readouterr().err

"""Optuna's trials are the sweep's jobs: chosen by results, kept in the folder, the same numbers after a kill."""

from __future__ import annotations

import json
import math
import sys

import pytest

from tunesmith.errors import ConfigError, MissingExtraError, RunError
from tunesmith.sweep.protocol import Job, Result
from tunesmith.sweep.search.optuna import FILE, NO_JOB, Optuna

WORDS = ("lr=tag(log,interval(1e-4,1e-1))", "head=linear,mlp", "depth=range(1,9,2)")


def value(job: Job) -> float:
    """Best at lr=0.01 with a linear head."""
    how = dict(change.split("=") for change in job.changes)
    return -abs(math.log10(float(how["lr"])) + 2) - (how.get("head") == "mlp") - abs(float(how.get("x", 0)))


def result(job: Job, folder, **changes) -> Result:
    best = value(job)
    metrics = {"best/val/loss": -best, "val/loss": 9.0, "test/accuracy": best}
    return Result(**{"status": "completed", "folder": folder, "objective": best, "monitor": "val/accuracy",
                     "metrics": metrics, "seconds": 1.0 + best**2, **changes})  # fmt: skip


def run(searcher: Optuna, folder, jobs: int) -> list[Job]:
    """Ask and tell so many jobs."""
    done = []
    while len(done) < jobs and (asked := searcher.ask(1)):
        searcher.tell(asked[0], result(asked[0], folder))
        done += asked
    return done


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_later_trials_are_better_than_the_first(pretend, tmp_path, sampler):
    words = WORDS if sampler == "tpe" else ("lr=tag(log,interval(1e-4,1e-1))", "x=interval(-1,1)")
    searcher = Optuna(pretend.space(*words), tmp_path / "s", 36, sampler, startup=6)
    jobs = run(searcher, tmp_path, 99)
    assert [job.number for job in jobs] == list(range(36)) and searcher.ask(1) == []
    values = [value(job) for job in jobs]
    assert sum(values[-10:]) > sum(values[:10])
    assert searcher.study.best_value == pytest.approx(-max(values), abs=1e-3)


def test_it_goes_on_after_a_kill_and_repeats_nothing(pretend, tmp_path):
    folder = tmp_path / "s"
    first = Optuna(pretend.space(*WORDS), folder, 12, startup=4)
    done = run(first, tmp_path, 6)
    under_way, never_begun = first.ask(2)
    again = Optuna(pretend.space(*WORDS), folder, 12, startup=4)
    for job in done:
        again.tell(job, result(job, tmp_path))
    again.tell(under_way, None)
    assert again.ask(1) == [never_begun]  # asked for, and then the kill
    for job in (under_way, never_begun):
        again.tell(job, result(job, tmp_path))
    rest = run(again, tmp_path, 99)
    assert [job.number for job in rest] == [8, 9, 10, 11]
    assert len({job.changes for job in (*done, under_way, never_begun, *rest)}) == 12
    assert len(again.study.trials) == 12


def test_a_search_with_more_trials_goes_on(pretend, tmp_path):
    run(Optuna(pretend.space(*WORDS), tmp_path / "s", 3), tmp_path, 9)
    assert [job.number for job in run(Optuna(pretend.space(*WORDS), tmp_path / "s", 5), tmp_path, 9)] == [3, 4]


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_what_comes_of_a_job_that_is_run_again_is_learnt_once(pretend, tmp_path, pruner):
    def search(jobs=4):
        return Optuna(pretend.space(*WORDS), tmp_path / "s", jobs, pruner=pruner)

    first, second = (searcher := search()).ask(2)
    searcher.tell(first, result(first, tmp_path, status="failed", objective=None))
    searcher.tell(second, result(second, tmp_path))
    assert searcher.study.best_trial.number == 1
    better = result(first, tmp_path, objective=5.0)
    for _ in range(2):  # also when the launcher is started again
        searcher = search()
        searcher.tell(first, None)
        searcher.tell(second, result(second, tmp_path))
        assert not searcher.prune(first, [(0, 0.0), (1, 0.0)])
        searcher.tell(first, better)
    assert searcher.study.best_value == -5.0 and searcher.study.best_trial.user_attrs == {NO_JOB: 0}
    assert searcher.study.best_params == searcher.study.trials[0].params
    assert [job.number for job in run(searcher, tmp_path, 9)] == [3, 4]  # four jobs in all, and trial 2 is none
    assert [job.number for job in run(search(5), tmp_path, 9)] == [5]


def test_two_launchers_share_the_trials(pretend, tmp_path):
    one, other = (Optuna(pretend.space(*WORDS), tmp_path / "s", 4) for _ in range(2))
    jobs = [*one.ask(1), *one.ask(1)]
    assert other.ask(2) == jobs  # begun and not told: the claims decide who has them
    for job in jobs:
        one.tell(job, result(job, tmp_path))
        other.tell(job, result(job, tmp_path, objective=5.0))  # it is told already
    assert [job.number for job in [*one.ask(9), *other.ask(9)]] == [2, 3, 2, 3]
    assert {trial.value for trial in other.study.trials[:2]} == {-value(job) for job in jobs}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"objective": float("nan")}, "FAIL"),
        ({"objective": None}, "FAIL"),
        ({"objective": float("inf")}, "FAIL"),
        ({"status": "failed"}, "FAIL"),
        ({"status": "pruned"}, "PRUNED"),
        ({}, "COMPLETE"),
    ],
)
def test_the_state_of_a_trial(pretend, tmp_path, changes, state):
    searcher = Optuna(pretend.space(*WORDS), tmp_path / "s", 4)
    (job,) = searcher.ask(1)
    searcher.tell(job, result(job, tmp_path, **changes))
    assert searcher.study.trials[0].state.name == state
    assert len(searcher.ask(9)) == 3


def test_several_objectives(pretend, tmp_path):
    wanted = {"val/loss": "min", "seconds": "min"}
    searcher = Optuna(pretend.space(*WORDS), tmp_path / "s", 12, "nsga2", startup=4, objectives=wanted)
    jobs = run(searcher, tmp_path, 99)
    assert searcher.study.trials[0].values == [-value(jobs[0]), 1.0 + value(jobs[0]) ** 2]
    assert 1 <= len(searcher.study.best_trials) <= 12


def test_a_misspelt_objective_ends_the_search_at_the_first_job(pretend, tmp_path):
    words, wanted = ("seed=range(0,9)",), {"val/acuracy": "max"}
    searcher = Optuna(pretend.space(*words), tmp_path / "s", 4, objectives=wanted)
    with pytest.raises(ConfigError, match=r"but got 'val/acuracy'\. Did you mean 'val/accuracy'\?"):
        pretend.launch(tmp_path / "s", *words, searcher=searcher)
    assert len((tmp_path / "began.txt").read_text().split()) == 1
    spelt = Optuna(pretend.space(*words), tmp_path / "t", 2, objectives={"val/accuracy": "max"})
    (first, second) = spelt.ask(2)
    spelt.tell(first, Result("completed", tmp_path, metrics={"best/val/accuracy": 0.5}))
    spelt.tell(second, Result("completed", tmp_path))  # the name was right, so this job alone is at fault
    assert [trial.state.name for trial in spelt.study.trials] == ["COMPLETE", "FAIL"]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_job_far_below_the_others_is_given_up(pretend, tmp_path, pruner):
    searcher = Optuna(pretend.space(*WORDS), tmp_path / "s", 40, pruner=pruner)
    epochs = 12
    given_up = []
    for number in range(12):
        (job,) = searcher.ask(1)
        folder = tmp_path / str(number)
        folder.mkdir()
        height = 0.1 if number > 8 else 0.9
        lines = [{"epoch": e, "val/accuracy": height * e / epochs} for e in range(epochs)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        history = [(line["epoch"], line["val/accuracy"]) for line in lines]
        given_up.append(any(searcher.prune(job, history[: e + 1]) for e in range(epochs)))
        status = "pruned" if given_up[-1] else "completed"
        searcher.tell(job, result(job, folder, objective=height, status=status))
    assert any(given_up[9:]) and not any(given_up[:5])
    assert not Optuna(pretend.space(*WORDS), tmp_path / "none", 40).prune(job, history)


@pytest.mark.parametrize(
    ("words", "arguments", "sentence"),
    [
        (("c=1",), {}, "Expected a key to search"),
        (WORDS, {"jobs": 0}, "sweep.searcher.jobs to be at least 1"),
        (WORDS, {"objectives": {"test/accuracy": "up"}}, "Expected max or min"),
        (WORDS, {"objectives": {"a": "min", "b": "max"}, "pruner": "median"}, "choose sampler=nsga2"),
        (WORDS, {"objectives": {"a": "min", "b": "max"}, "sampler": "cmaes"}, "choose sampler=nsga2"),
    ],
)
def test_what_does_not_go_together_is_refused(pretend, tmp_path, words, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Optuna(pretend.space(*words), tmp_path, **arguments)


def test_without_optuna_the_extra_is_named(pretend, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "optuna.distributions", None)
    with pytest.raises(MissingExtraError, match=r"tunesmith\[optuna\]"):
        Optuna(pretend.space(*WORDS), tmp_path)


def test_a_study_that_lost_trials_is_refused(pretend, tmp_path):
    with pytest.raises(RunError, match=f"{FILE} of the sweep to know job 7"):
        Optuna(pretend.space(*WORDS), tmp_path / "s", 9).tell(Job(7, ()), result(Job(7, ("lr=1", "head=x")), tmp_path))


def test_as_a_sweep(pretend, tmp_path):
    words = ("seed=range(0,9)",)
    launcher = pretend.launch(
        tmp_path / "s", *words, slots=2, searcher=Optuna(pretend.space(*words), tmp_path / "s", 6, startup=2)
    )
    assert [r.status for r in pretend.results(launcher).values()] == ["completed"] * 6
    assert {trial.state.name for trial in launcher.searcher.study.trials} == {"COMPLETE"}

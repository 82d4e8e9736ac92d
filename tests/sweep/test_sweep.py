"""The command line of a sweep: which folder, which jobs, and what another command line in the same folder is told."""

from __future__ import annotations

import functools
import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from tunesmith import __main__ as program
from tunesmith.errors import ConfigError, RunError
from tunesmith.sweep import sweep as room
from tunesmith.sweep.journal import Journal, open_sweep
from tunesmith.sweep.protocol import Result
from tunesmith.sweep.rules import Rules
from tunesmith.sweep.screen import Screen
from tunesmith.sweep.search.grid import Grid


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What `_run` is given; nothing is run."""
    monkeypatch.chdir(tmp_path)
    found = []

    def note(argv, journal, searcher, executor, rules, screen):
        found.append((argv, journal, searcher, executor, rules))
        return 0

    monkeypatch.setattr(room, "_run", note)
    return found


def start(*words):
    return program.command_line(["train", "-m", *words])


def folders():
    return sorted(path.parent.name for path in Path("logs").rglob("sweep.json"))


def test_the_same_command_finds_its_folder_again(calls):
    start("seed=0,1", "head=mlp")
    start("seed=0,1", "head=mlp", "sweep.slots=2", "sweep.retries=1")  # how it is run is another matter
    assert len(folders()) == 1
    start("seed=0,2", "head=mlp")
    start("seed=0,1", "head=linear")
    assert len(folders()) == 3
    argv, journal, searcher, *_ = calls[1]
    assert argv == ["train", "head=mlp"]
    assert [job.changes for job in searcher.listed] == [("seed=0",), ("seed=1",)]
    assert journal.manifest["jobs"] == [["seed=0"], ["seed=1"]]


def test_another_sweep_in_a_named_folder_is_refused(calls):
    start("seed=0,1", "sweep.dir=mine")
    with pytest.raises(RunError, match=r"seed was 0,1 and is 0,1,2.*Choose another sweep.dir"):
        start("seed=0,1,2", "sweep.dir=mine")


def test_a_configuration_that_was_edited_is_another_sweep(calls, tmp_path):
    preset = tmp_path / "conf" / "experiment" / "mine.yaml"
    preset.parent.mkdir(parents=True)
    for lr in (0.1, 0.2):
        preset.write_text(f"# @package _global_\n# Mine.\noptimizer: {{lr: {lr}}}\n")
        start("experiment=mine", "seed=0,1")
    assert len(folders()) == 2
    for folder in folders():
        preset.write_text("# @package _global_\n# Mine.\noptimizer: {lr: 0.3}\ntags: [a]\n")
        said = r"got another: optimizer.lr was 0.[12] and is 0.3; tags was \[\] and is \[\"a\"\]. Choose"
        with pytest.raises(RunError, match=said):
            start("experiment=mine", "seed=0,1", f"sweep.dir=logs/synthetic/{folder}")


def test_what_a_file_says_otherwise_for_a_combination_is_named_too(calls, tmp_path):
    option = tmp_path / "conf" / "head" / "mine.yaml"
    option.parent.mkdir(parents=True)
    for dropout in (0.1, 0.2):
        option.write_text(f"# Mine.\n_target_: tunesmith.head.mlp.MLP\ndropout: {dropout}\n")
        if dropout == 0.1:
            start("head=linear,mine", "seed=0,1", "sweep.dir=mine")
    with pytest.raises(RunError, match=r"but got another: head.dropout was 0.0 or 0.1 and is 0.0 or 0.2. Choose"):
        start("head=linear,mine", "seed=0,1", "sweep.dir=mine")
    manifest = Path("mine", "sweep.json")  # of a version that did not keep them
    manifest.write_text(json.dumps({k: v for k, v in json.loads(manifest.read_text()).items() if k != "values"}))
    with pytest.raises(RunError, match=r"but got another: the configuration was [0-9a-f]{12} and is"):
        start("head=linear,mine", "seed=0,1", "sweep.dir=mine")


def test_a_preset_says_what_is_searched_and_the_command_line_wins(calls, tmp_path):
    preset = tmp_path / "conf" / "sweep" / "rates.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("# Mine.\ndefaults: [grid]\nparams: {optimizer.lr: '0.1,0.2', seed: 'range(0,3)'}\n")
    start("sweep=rates")
    assert calls[-1][2].total == 6
    start("sweep=rates", "seed=5")
    assert [job.changes for job in calls[-1][2].listed] == [("optimizer.lr=0.1",), ("optimizer.lr=0.2",)]
    assert calls[-1][0] == ["train", "seed=5"]


def test_flags_reach_the_jobs(calls, tmp_path):
    (tmp_path / "extra" / "experiment").mkdir(parents=True)
    (tmp_path / "extra" / "experiment" / "x.yaml").write_text("# @package _global_\n# Mine.\nseed: 3\n")
    start("--config-dir", "extra", "experiment=x", "head=linear,mlp")
    assert calls[0][0] == ["train", "--config-dir", "extra", "experiment=x"]
    start("--allow", "my_head", "seed=0,1")
    assert calls[1][0] == ["train", "--allow=my_head"]
    assert "my_head" not in os.environ.get("TUNESMITH_ALLOW", "")


def test_the_order_in_which_keys_are_typed_makes_no_other_jobs(calls):
    start("head=linear,mlp", "seed=0,1,2", "optimizer=adamw,sgd")
    start("seed=0,1,2", "optimizer=adamw,sgd", "head=linear,mlp")
    one, other = (searcher.listed for _, _, searcher, *_ in calls)
    assert len(folders()) == 1 and one == other
    assert one[1].changes == ("head=linear", "optimizer=adamw", "seed=1")


def test_jobs_under_other_numbers_are_refused_and_more_of_them_are_not(calls):
    drawn = ("sweep=random", "optimizer.lr=interval(0,1)", "sweep.dir=mine")
    start(*drawn, "sweep.searcher.jobs=3")
    start(*drawn, "sweep.searcher.jobs=5")
    start(*drawn, "sweep.searcher.jobs=2")
    manifest = Path("mine", "sweep.json")
    first = calls[0][2].listed[0].changes[0]
    manifest.write_text(manifest.read_text().replace(first, "optimizer.lr=7.0"))
    with pytest.raises(RunError, match=rf"job 0 was optimizer.lr=7.0 and is {first}\. Choose another sweep.dir"):
        start(*drawn, "sweep.searcher.jobs=3")


@pytest.mark.parametrize("rule", ["slots=-1", "slots=0", "retries=-2", "timeout=-1"])
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_rule_that_means_nothing_is_refused_before_a_folder_is_made(calls, rule, executor):
    key, _, value = rule.partition("=")
    with pytest.raises(ConfigError, match=rf"Expected sweep.{key} to be .* but got {value}"):
        start("seed=0,1", f"sweep/executor={executor}", f"sweep.{rule}")
    assert not folders()


def test_failed_jobs_are_run_again_beside_another_launcher(calls, monkeypatch):
    start("seed=0,1,2", "sweep.dir=mine")
    (_, journal, searcher, *_) = calls[0]
    again = Journal.again
    for job in searcher.listed[:2]:
        journal.started(job)
        journal.ended(job, Result("failed", journal.run_folder(job.number), reason="lost"), 1)

    def beside_another(self, job):
        journal.started(searcher.listed[2])  # another launcher's line comes between
        again(self, job)

    monkeypatch.setattr(Journal, "again", beside_another)
    start("seed=0,1,2", "sweep.dir=mine", "sweep.retry=failed")
    assert [entry.round for entry in calls[1][1].entries.values()] == [1, 1, 0]


class Forgetful(Grid):
    """Gives one job fewer than it says."""

    def ask(self, free):
        self._open.pop(2, None)
        return super().ask(free)


@pytest.mark.parametrize(("kind", "code"), [(Grid, 0), (Forgetful, 1)])
def test_a_sweep_without_all_its_jobs_has_not_succeeded(pretend, tmp_path, kind, code):
    screen = Screen(3, Console(file=io.StringIO()))
    searcher = kind(pretend.space("seed=1,2,3"), tmp_path)
    journal = open_sweep(tmp_path / "s", {"name": "pretended", "command": "", "search": {}})
    executor = functools.partial(pretend.Pretend, 1)
    assert room._run(["train"], journal, searcher, executor, Rules(), screen) == code
    said = screen.console.file.getvalue()
    assert ("1 jobs have not been run" in said) == ("not begun" in said) == bool(code)


@pytest.mark.parametrize("kind", ["fine", "raise"])
def test_what_failed_is_spoken_of_where_something_did(pretend, tmp_path, kind):
    journal = pretend.launch(tmp_path / "s", f"kind={kind},fine", "seed=1").journal
    screen = Screen(2, Console(file=io.StringIO()))
    grid = Grid(pretend.space(f"kind={kind},fine", "seed=1"), tmp_path)
    room._run([], journal, grid if kind == "raise" else Grid(pretend.space("seed=1"), tmp_path), None, Rules(), screen)
    said = screen.console.file.getvalue()
    assert "Nothing to do" in said and ("sweep.retry=failed" in said) == (kind == "raise")

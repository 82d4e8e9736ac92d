"""The command line of a sweep: which folder, which jobs, and what another command line in the same folder is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith import __main__ as program
from tunesmith.errors import RunError
from tunesmith.sweep import sweep as room


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
        preset.write_text("# @package _global_\n# Mine.\noptimizer: {lr: 0.3}\n")
        with pytest.raises(RunError, match="the configuration was"):
            start("experiment=mine", "seed=0,1", f"sweep.dir=logs/synthetic/{folder}")


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

"""Real jobs in real processes: what each of them can do to itself, and to nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tunesmith import __main__ as program
from tunesmith.backbone.weights import content_hash
from tunesmith.run.logger.wandb_record import comparable
from tunesmith.run.resume.checkpoint import load
from tunesmith.sweep import journal as journals
from tunesmith.sweep.executor import process

FAULTS = """
import os, resource, signal, sys
from lightning.pytorch import Callback


class Fault(Callback):
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if self.kind == "raise":
            raise ValueError("no good")
        if self.kind == "exit":
            sys.exit(3)
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "memory":
            resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
            self.held = bytearray(2**34)
"""
TINY = [
    *("logger=none", "data.workers=0", "trainer=cpu", "trainer.max_epochs=1", "test=null"),
    *("data.samples=60", "trainer.log_every_n_steps=1"),
]


def no_job_is_left() -> bool:
    """Whether nothing that belongs to a job of the present folder's sweeps is alive."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"TUNESMITH_JOB={Path.cwd()}" in (entry / "environ").read_text(errors="replace"):
                    return False
    return True


@pytest.fixture(scope="module")
def faulty(tmp_path_factory, with_callback):
    """A sweep with a job of each kind: its exit code, and what its jobs came to."""
    folder = tmp_path_factory.mktemp("faulty")
    chosen = with_callback(folder, "fault", FAULTS, kind="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        # As if the launcher itself were a part of a distributed run: its jobs are none.
        for name, value in {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "NODE_RANK": "1", "PL_GLOBAL_SEED": "7"}.items():
            patch.setenv(name, value)
        kinds = "callback.fault.kind=none,raise,exit,kill,memory,still"
        code = program.command_line(["train", "-m", *TINY, chosen, kinds])
        (sweep,) = Path("logs/synthetic").glob("sweep-*")
        yield code, journals.read(sweep.absolute())


def test_four_ends_of_a_job_are_told_and_the_others_go_on(faulty):
    code, journal = faulty
    found = [entry.result for entry in journal.entries.values()]
    assert [result.status for result in found] == ["completed", *["failed"] * 4, "completed"]
    reasons = [result.reason for result in found]
    assert reasons[1:4] == ["ValueError: no good", "called sys.exit(3)", "killed by SIGKILL"]
    assert "memory" in reasons[4].lower()
    assert code == 1


def test_a_job_is_a_run_as_if_started_alone(faulty):
    _, journal = faulty
    record = json.loads((journal.run_folder(0) / "run.json").read_text())
    assert record["command"].startswith("tunesmith train logger=none") and "hydra.mode" not in record["command"]
    assert record["sweep"] == journal.name and record["id"] == journal.run_folder(0).name.partition("-")[2]
    assert record["hardware"]["threads"] >= 1 and record["timing"]["import"] < 10
    assert "sweep" not in record["choices"]
    assert "\nsweep:" not in (journal.run_folder(0) / "config.yaml").read_text()


def test_the_objective_is_that_of_the_best_epoch(faulty):
    _, journal = faulty
    result = journal.entries[0].result
    assert result.monitor == "val/accuracy" and result.objective == result.metrics["best/val/accuracy"]


def test_nothing_is_left(faulty):
    end = time.monotonic() + 3
    while not no_job_is_left() and time.monotonic() < end:
        time.sleep(0.1)
    assert no_job_is_left()
    assert len(list(faulty[1].folder.glob("output/*.txt"))) == 6


SEARCHES = {
    "grid": ["optimizer.lr=0.01,0.02", "sweep.slots=2"],
    "optuna": ["sweep=optuna", "optimizer.lr=tag(log,interval(1e-3,1e-1))", "sweep.searcher.jobs=2"],
}


@pytest.fixture(scope="module", params=SEARCHES)
def distributed(tmp_path_factory, request, spied):
    """Two jobs of two ranks each; of the grid, at once."""
    folder = tmp_path_factory.mktemp("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        chosen = spied(folder)
        words = ["trainer=ddp", "trainer.accelerator=cpu", chosen, *SEARCHES[request.param]]
        patch.syspath_prepend(str(folder))
        code = program.command_line(["train", "-m", *TINY, *words])
        (sweep,) = Path("logs/synthetic").glob("sweep-*")
        yield code, journals.read(sweep.absolute())


@pytest.mark.long
def test_both_ranks_of_a_job_train_the_same(distributed, ranks):
    code, journal = distributed
    assert code == 0
    hashes = set()
    for number in (0, 1):
        folder = journal.run_folder(number)
        told = ranks(folder)
        (lr,) = (float(c.partition("=")[2]) for c in journal.entries[number].job.changes)
        assert told == {"world": 2, "lr": lr, "config_hash": told["config_hash"]}
        hashes.add(told["config_hash"])
        assert load(folder / "checkpoints" / "last.ckpt")
    assert len(hashes) == 2


def come_to(journal) -> dict[int, tuple[Any, ...]]:
    """What the jobs of a sweep came to, without what was measured by a clock; with a digest of the last weights."""
    return {
        number: (
            entry.job.changes,
            entry.result.status,
            entry.result.objective,
            comparable(entry.result.metrics),
            content_hash(load(entry.result.folder / "checkpoints" / "last.ckpt")["state_dict"]),
        )
        for number, entry in sorted(journal.entries.items())
    }


@pytest.mark.long
def test_a_launcher_that_was_killed_costs_nothing_but_time(tmp_path):
    """Eight trainings; the launcher dies after three, and the same command comes to the table of a sweep left alone."""
    words = [w for w in TINY if w.partition("=")[0] not in ("trainer.max_epochs", "data.samples")]
    words += ["callback=quiet", "seed=range(0,8)", "trainer.max_epochs=4", "data.samples=600"]
    line = [sys.executable, "-m", "tunesmith", "train", "-m", *words]

    def start(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return subprocess.Popen(line, cwd=tmp_path / name, stdout=subprocess.DEVNULL)

    def journal(name):
        return next(iter((tmp_path / name / "logs" / "synthetic").glob("sweep-*/journal.jsonl")), None)

    launcher = start("killed")
    while (
        (path := journal("killed")) is None
        or path.read_text().count('"ended"') < 3
        or not list(path.parent.glob("0003-*/run.json"))  # the next one is under way
    ):
        assert launcher.poll() is None
        time.sleep(0.02)
    launcher.kill()
    launcher.wait()
    ended = path.read_text().count('"ended"')
    assert 3 <= ended < 8
    assert start("killed").wait() == 0 and start("alone").wait() == 0
    killed, alone = (journals.read(journal(name).parent) for name in ("killed", "alone"))
    assert come_to(killed) == come_to(alone) and len(come_to(alone)) == 8
    assert len({weights for *_, weights in come_to(alone).values()}) == 8  # each trained something of its own
    began = [json.loads(text) for text in path.read_text().splitlines() if '"started"' in text]
    assert len(began) <= 9  # none twice but the one that was under way
    before = path.read_text()
    assert start("killed").wait() == 0
    assert path.read_text() == before  # a sweep that is done starts nothing


def test_the_environment_of_a_distributed_run_is_not_handed_on(monkeypatch):
    for name in process.DISTRIBUTED:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("PATH_TO_DATA", "kept")
    assert not process.DISTRIBUTED & process.inherited().keys()
    assert "TORCHELASTIC_RUN_ID" not in process.inherited() and process.inherited()["PATH_TO_DATA"] == "kept"
    with process.clean_environment({}):
        assert "RANK" not in os.environ
    assert os.environ["RANK"] == "1"

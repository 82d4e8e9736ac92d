"""Real jobs in real processes: what each of them can do to itself, and to nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
import torch

from tunesmith import __main__ as program
from tunesmith.run.checkpoint import load
from tunesmith.sweep import journal as journals
from tunesmith.sweep import process

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


def with_callback(folder: Path, name: str, code: str, **arguments: str) -> str:
    """Give a user's folder a callback of their own; gives the override that chooses it."""
    (folder / f"{name}s.py").write_text(code)
    options = folder / "conf" / "callback"
    options.mkdir(parents=True)
    node = {"_target_": f"{name}s.{name.title()}", **arguments}
    (options / f"{name}.yaml").write_text(f"# Mine.\n{json.dumps({name: node})}\n")
    return f"callback=[quiet,{name}]"


def no_job_is_left() -> bool:
    """Whether nothing that belongs to a job of the present folder's sweeps is alive."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"TUNESMITH_JOB={Path.cwd()}" in (entry / "environ").read_text(errors="replace"):
                    return False
    return True


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
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
def distributed(tmp_path_factory, request):
    """Two jobs of two ranks each; of the grid, at once."""
    folder = tmp_path_factory.mktemp("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        chosen = with_callback(folder, "spy", SPY)
        words = ["trainer=ddp", "trainer.accelerator=cpu", chosen, *SEARCHES[request.param]]
        patch.syspath_prepend(str(folder))
        code = program.command_line(["train", "-m", *TINY, *words])
        (sweep,) = Path("logs/synthetic").glob("sweep-*")
        yield code, journals.read(sweep.absolute())


SPY = """
import json
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Callback
from tunesmith.config.compose import compose
from tunesmith.run.record import hash_of


class Spy(Callback):
    def on_fit_end(self, trainer, pl_module) -> None:
        folder = Path(trainer.default_root_dir)
        rank = trainer.global_rank
        torch.save(pl_module.state_dict(), folder / f"weights-{rank}.pt")
        typed = list(HydraConfig.get().overrides.task)
        told = {"world": trainer.world_size, "lr": trainer.optimizers[0].defaults["lr"]}
        told["config_hash"] = hash_of(compose("train", typed))  # of what this rank was started with
        (folder / f"rank-{rank}.json").write_text(json.dumps(told))
"""


@pytest.mark.long
def test_both_ranks_of_a_job_train_the_same(distributed):
    code, journal = distributed
    assert code == 0
    hashes = set()
    for number in (0, 1):
        folder = journal.run_folder(number)
        told = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
        (lr,) = (float(c.partition("=")[2]) for c in journal.entries[number].job.changes)
        assert told[0] == told[1] and (told[0]["world"], told[0]["lr"]) == (2, lr)
        assert told[0]["config_hash"] == json.loads((folder / "run.json").read_text())["config_hash"]
        hashes.add(told[0]["config_hash"])
        one, two = (torch.load(folder / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert load(folder / "checkpoints" / "last.ckpt")
    assert len(hashes) == 2


def test_the_environment_of_a_distributed_run_is_not_handed_on(monkeypatch):
    for name in process.DISTRIBUTED:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("PATH_TO_DATA", "kept")
    assert not process.DISTRIBUTED & process.inherited().keys()
    assert "TORCHELASTIC_RUN_ID" not in process.inherited() and process.inherited()["PATH_TO_DATA"] == "kept"
    with process.clean_environment():
        assert "RANK" not in os.environ
    assert os.environ["RANK"] == "1"

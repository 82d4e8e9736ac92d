"""Runs that are killed or never interrupted, made once for all tests of faults."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from killing import bits, configured, killed

from tunesmith.run.train import train
from tunesmith.task.base import Task


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The bits of a run that was never interrupted, by setting; made once."""
    made = {}

    def of(setting):
        if setting not in made:
            made[setting] = bits(train(configured(tmp_path_factory.mktemp("whole"), setting)).folder)
        return made[setting]

    return of


@pytest.fixture(scope="session")
def died(tmp_path_factory):
    """The folder of a run that died in the middle of its second epoch, with two checkpoints."""
    logs = tmp_path_factory.mktemp("died")
    with pytest.MonkeyPatch.context() as patched:
        return killed(configured(logs), patched, (Task, "training_step"), 12)


@pytest.fixture
def stopped(died, tmp_path):
    """A copy of it for the test."""
    return Path(shutil.copytree(died, tmp_path / "logs" / "synthetic" / died.name))


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A job of SLURM's, with an ``scontrol`` that writes down what it is asked; gives what it was asked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\nexit $REFUSE\n")
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name, value in {"JOB_ID": "17", "JOB_NAME": "train", "NTASKS": "1", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_NODEID", "0")
    return lambda: (tmp_path / "asked").read_text().split("\n")[:-1] if (tmp_path / "asked").exists() else []

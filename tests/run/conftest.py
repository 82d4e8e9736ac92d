"""Runs that are killed or never interrupted, made once for all tests of faults."""

from __future__ import annotations

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

"""A sweep is a W&B run too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tunesmith.run.logger.wandb_record import read_file
from tunesmith.sweep import wandb_table
from tunesmith.sweep.wandb_table import log_sweep

CFG = OmegaConf.create({"logger": {"wandb": {"project": "tunesmith", "mode": "offline"}}})


def written(file: Path) -> dict[str, Any]:
    """What the file holds once W&B's service, a process of its own, has written it: seconds on a busy machine."""
    for _ in range(100):
        found = read_file(file)
        if found["about"] and found["metrics"]:
            break
        time.sleep(0.2)
    return found


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # wandb's service process outlives the run
def test_the_table_of_jobs_and_the_best(pretend, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    journal = pretend.launch(tmp_path / "s", "seed=1,3,2", "kind=fine").journal
    assert log_sweep(journal, CFG)
    (file,) = (tmp_path / "s").glob("wandb/offline-run-*/*.wandb")
    found = written(file)
    about = {"id": journal.manifest["id"], "group": journal.name, "job_type": "sweep", "tags": []}
    assert found["about"] == about and found["search"] == journal.manifest["search"]
    assert found["metrics"] == {"best/job": 1.0, "best/val/accuracy": 0.3}
    (table,) = file.parent.rglob("*.table.json")
    rows = json.loads(table.read_text())
    assert [row[:4] for row in rows["data"]] == [
        [0, "completed", "seed=1", 0.1],
        [1, "completed", "seed=3", 0.3],
        [2, "completed", "seed=2", 0.2],
    ]


def test_where_jobs_are_not_logged_the_sweep_is_not(pretend, tmp_path):
    assert not log_sweep(pretend.launch(tmp_path / "s", "seed=1").journal, OmegaConf.create({"logger": {}}))
    assert not (tmp_path / "s" / "wandb").exists()


@pytest.mark.parametrize("group", ["mine", None])
def test_the_table_is_in_the_group_of_its_jobs(pretend, tmp_path, monkeypatch, group):
    journal = pretend.launch(tmp_path / "s", "seed=1").journal

    class BegunError(Exception):
        pass

    def begin(mode, arguments):
        raise BegunError(arguments["group"])

    monkeypatch.setattr(wandb_table, "begin", begin)
    with pytest.raises(BegunError, match=f"^{group or journal.name}$"):
        log_sweep(journal, OmegaConf.merge(CFG, {"logger": {"wandb": {"group": group}}}))

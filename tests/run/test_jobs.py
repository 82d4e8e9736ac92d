"""A command's own trust: plug-ins of the present folder are built in every part of a run, and end with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tunesmith import __main__ as program
from tunesmith.run.record.run_folder import read

WORDS = ["logger=none", "plots=false", "data.workers=0", "trainer=cpu", "trainer.max_epochs=2", "data.samples=48"]
MODULE = """
import torch
from lightning.pytorch import Callback

class Steps(torch.optim.SGD):
    def __init__(self, params, lr: float) -> None:
        super().__init__(params, lr=lr)

class Watch(Callback):
    def __init__(self, stop) -> None:
        self.stop = stop

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        assert self.stop.asked() is None
        assert type(trainer.optimizers[0]).__name__ == self.expected[trainer.current_epoch]

    expected = ("Steps", "AdamW")
"""
PHASES = "policy.phases=[{train: [head], epochs: 1, optimizer: {_target_: mine_run.Steps, lr: 0.1}}, {train: [all]}]"


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "mine_run.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delenv("TUNESMITH_ALLOW", raising=False)
    yield
    sys.modules.pop("mine_run", None)


@pytest.mark.usefixtures("here")
def test_plug_ins_are_built_throughout_a_run_and_trusted_by_no_later_command(capsys):
    words = [*WORDS, "callback=quiet", PHASES, "+callback.mine={_target_: mine_run.Watch}"]
    assert program.command_line(["train", *words]) == 0
    (folder,) = (path.parent for path in Path("logs").rglob("run.json"))
    record = read(folder)
    assert (record["status"], record["overrides"][-2:], record["choices"]["callback"]) == (
        "completed",
        words[-2:],
        "quiet",
    )
    assert record["timing"]["import"] == 0
    assert program.command_line(["evaluate", f"run={folder}"]) == 2
    assert "add '--allow mine_run" in capsys.readouterr().err
    assert program.command_line(["evaluate", f"run={folder}", "--allow", "mine_run"]) == 0

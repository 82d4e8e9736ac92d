"""Run folders of 0.1.0, before modules, keys and tensors were renamed: they evaluate, predict, resume and reproduce.

``recorded/joint`` was killed in its second epoch; ``recorded/multilabel`` ended. Both name their data relative to the
folder they ran in. They stay as they are.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tunesmith.config.compose import compose
from tunesmith.run.command import command_line
from tunesmith.run.evaluate import evaluate
from tunesmith.run.predict import predict
from tunesmith.run.record.run_folder import read
from tunesmith.run.reproduce import find
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train

RECORDED = Path(__file__).parents[1] / "recorded"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Lay a recorded run out with its data, and work there."""

    def lay(name: str) -> Path:
        root = tmp_path / "data" / "images"
        root.mkdir(parents=True)
        rng = np.random.default_rng(0)
        colours = rng.uniform(0, 1, (60, 3))
        for i, colour in enumerate(colours):
            pixels = np.broadcast_to(colour, (12, 12, 3)) + rng.normal(0, 0.05, (12, 12, 3))
            Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(root / f"{i:02}.png")
        table = pd.DataFrame({"path": [f"{i:02}.png" for i in range(60)]})
        table["red"], table["blue"] = (colours[:, [0, 2]] > 0.5).astype(int).T
        table["weight"] = rng.uniform(0, 2, 60)
        table.to_csv(root / "table.csv", index=False)
        for name_ in ("texts.csv", "bert"):
            source = Path(os.environ["SMALL_TEXTS"], name_)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / "data" / name_)
        monkeypatch.chdir(tmp_path)
        return Path(shutil.copytree(RECORDED / name, tmp_path / "logs" / name / "run"))

    return lay


def test_a_run_evaluates_and_predicts(old):
    folder = old("multilabel")
    outcome = evaluate(compose("evaluate", [f"run={folder}"]))
    recorded = json.loads((folder / "run.json").read_text())["metrics"]
    tested = {name: value for name, value in recorded.items() if name.startswith("test/")}
    assert outcome.metrics == pytest.approx(tested, abs=1e-4) and len(tested) > 3
    predictions = predict(compose("predict", [f"run={folder}", "input=data/images", "output=found.csv"]))
    assert len(predictions.files) == 60


def test_a_killed_run_goes_on_and_ends_as_one_that_was_never_killed(old, monkeypatch):
    folder = old("joint")
    typed = json.loads((folder / "run.json").read_text())["overrides"]
    monkeypatch.setattr("sys.argv", ["tunesmith", "train", f"resume={folder}", "resume_force=true"])
    resumed = train(compose("train", [f"resume={folder}", "resume_force=true"])).folder
    assert resumed.samefile(folder) and read(folder)["status"] == "completed"
    monkeypatch.setattr("sys.argv", ["tunesmith", "train", *typed])
    whole = train(compose("train", typed)).folder
    one, other = (load(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (resumed, whole))
    assert one.keys() == other.keys() and any("lm_head" in name for name in one)
    # To 1e-5, not to the bit: its first ten steps scaled the epoch's short last step in the gradients, not in the loss.
    assert [name for name in one if not torch.allclose(one[name], other[name], atol=1e-5)] == []


def test_a_run_can_be_reproduced_and_typed_again(old):
    folder = old("multilabel")
    original = find(compose("reproduce", [f"run={folder}"]))
    assert original.cfg.head._target_ == "tunesmith.head.multi_stage.MultiStage"
    line = command_line(read(folder))
    assert "head=multi_stage" in line and "multi_level" not in line

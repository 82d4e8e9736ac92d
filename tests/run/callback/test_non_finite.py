"""A loss that is no number ends the run at its step, is never saved, and may be tried again at half the rate."""

from __future__ import annotations

import json
import math

import pytest
import torch
from killing import bits, configured, differing, go_on, killed, run_folder

from tunesmith.errors import ConfigError, NonFiniteError
from tunesmith.run.callback.non_finite import Finite
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.resume.last_checkpoint import LAST
from tunesmith.run.train import train
from tunesmith.task.base import Task


@pytest.fixture
def poisoned(monkeypatch):
    """Makes the loss NaN, or breaks the weights, from a step of the epoch 1 on, unless the rates were halved."""

    def poison(step, loss=math.nan, halvings=1, weights=False):
        original = Task.training_step

        def training_step(self, batch, batch_idx):
            finite = next(c for c in self.trainer.callbacks if isinstance(c, Finite))
            found = original(self, batch, batch_idx)
            if self.trainer.global_step != step or finite.halvings >= halvings:
                return found
            if weights:
                next(self.head.parameters()).data.view(-1)[3] = loss
                return found
            return found * loss

        monkeypatch.setattr(Task, "training_step", training_step)

    return poison


def all_finite(folder):
    states = [load(path)["state_dict"] for path in sorted((folder / "checkpoints").glob("*.ckpt"))]
    assert len(states) >= 2
    return all(torch.isfinite(tensor).all() for state in states for tensor in state.values())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_it_stops_at_that_step_and_names_the_samples(loss, tmp_path, poisoned):
    poisoned(9, loss)
    cfg = configured(tmp_path)
    with pytest.raises(
        NonFiniteError, match=rf"got {loss} at epoch 1, step 9, from the samples .*nothing of it is saved"
    ):
        train(cfg)
    folder = run_folder(cfg)
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "failed" and "step 9" in record["error"]["message"]
    assert all_finite(folder)
    log = (folder / "log.txt").read_text()
    (line,) = (line for line in log.splitlines() if "Samples of the batch" in line)
    assert line.count("stripes") == 8 or line.count(",") == 7


@pytest.mark.parametrize("step", [7, 11])
def test_broken_weights_are_saved_neither_as_last_nor_as_best(step, tmp_path, poisoned):
    """Broken after the loss was looked at: in the middle of an epoch, and in its last step, before validation."""
    poisoned(step, weights=True)
    cfg = configured(tmp_path, "plain", "callback.last.every_n_train_steps=1")
    with pytest.raises(NonFiniteError, match="Expected finite weights to save but"):
        train(cfg)
    assert all_finite(run_folder(cfg))
    assert load(run_folder(cfg) / "checkpoints" / LAST)["global_step"] == step


@pytest.mark.parametrize(("retries", "halvings"), [(1, 1), (3, 2)])
def test_it_goes_back_and_tries_again_at_half_the_rate(retries, halvings, tmp_path, poisoned, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def stepping(self, *args, **kwargs):
        found = step(self, *args, **kwargs)
        rates.append(self.param_groups[0]["lr"])
        return found

    monkeypatch.setattr(torch.optim.AdamW, "step", stepping)
    poisoned(9, halvings=halvings)
    cfg = configured(tmp_path, "plain", f"callback.finite.retries={retries}", "scheduler=constant", "optimizer.lr=8e-3")
    folder = train(cfg).folder
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "completed" and len(record["resumed"]) == halvings
    assert all(entry["step"] == 8 and "half the rates" in entry["said"][-1] for entry in record["resumed"])
    assert load(folder / "checkpoints" / LAST)["callbacks"]["Finite"] == {"halvings": halvings}
    assert set(rates[:8]) == {8e-3} and rates[-1] == 8e-3 * 0.5**halvings


def test_after_the_last_try_it_stops(tmp_path, poisoned):
    poisoned(9, halvings=9)
    cfg = configured(tmp_path, "plain", "callback.finite.retries=2")
    with pytest.raises(NonFiniteError, match="step 9"):
        train(cfg)
    record = json.loads((run_folder(cfg) / "run.json").read_text())
    assert record["status"] == "failed" and len(record["resumed"]) == 2


@pytest.mark.parametrize("step", [12, pytest.param(16, marks=pytest.mark.long)])
def test_a_run_that_went_back_resumes_to_the_same_bits(step, tmp_path, poisoned, monkeypatch, whole):
    """Killed before and after the first save at the lower rates."""
    never = whole("plain")
    poisoned(9)
    words = ("plain", "callback.finite.retries=1")
    expected = bits(train(configured(tmp_path / "whole", *words)).folder)
    folder = killed(configured(tmp_path / "killed", *words), monkeypatch, (Task, "training_step"), step)
    go_on(folder)
    assert differing(bits(folder), expected) == []
    assert any("state_dict" in path for path in differing(never, expected))


def test_its_number_is_not_negative():
    with pytest.raises(ConfigError, match="retries"):
        Finite(retries=-1)

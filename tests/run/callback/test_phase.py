"""Phases that wait for a plateau: when they end, what the next one begins from, and what is recorded."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from tunesmith.contract.parameters import ParameterTable, Phase, Plateau
from tunesmith.run.callback import phase
from tunesmith.run.callback.phase import PhaseChange
from tunesmith.run.train import train

PROBE = ["policy=lp_ft", "policy.probe_epochs=9", "policy.patience=1", "trainer.max_epochs=4", "test=null", "cache=off"]


@pytest.fixture(autouse=True)
def _unpainted(monkeypatch):
    """Images take most of the time of so short a run."""
    monkeypatch.setattr("tunesmith.run.evaluation.plot.draw_all", lambda *a: [])


@pytest.fixture
def states(monkeypatch):
    """Weights, averages and moments at the end of each validation and after each start of an epoch."""
    seen = {}
    end, start = PhaseChange.on_validation_end, PhaseChange.on_train_epoch_start

    def look(when, trainer, task):
        seen[when, trainer.current_epoch] = copy.deepcopy(
            [task.state_dict(), *(a.state_dict() for a in phase._averages(trainer)), trainer.optimizers[0].state_dict()]
        )
        del seen[when, trainer.current_epoch][-1]["param_groups"]

    def at_end(self, trainer, task):
        look("end", trainer, task)
        end(self, trainer, task)

    def at_start(self, trainer, task):
        start(self, trainer, task)
        look("start", trainer, task)

    monkeypatch.setattr(PhaseChange, "on_validation_end", at_end)
    monkeypatch.setattr(PhaseChange, "on_train_epoch_start", at_start)
    return seen


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict | list):
        keys = one if isinstance(one, dict) else range(len(one))
        return len(one) == len(other) and all(same(one[key], other[key]) for key in keys)
    return one == other


@pytest.mark.parametrize("more", [[], ["callback=[quiet,ema]"]])
def test_the_next_phase_begins_from_the_best_weights_averages_and_moments(more, quick, states):
    folder = train(quick(*PROBE, "policy.min_delta=9", *more, samples=60)).folder
    assert same(states["start", 1], states["end", 0])
    assert same(states["start", 2], states["end", 0])
    assert not same(states["end", 1], states["end", 0])
    policy = json.loads((folder / "run.json").read_text())["policy"]
    assert [p["first_epoch"] for p in policy["phases"]] == [0, 2]
    (transition,) = policy["transitions"]
    assert (transition["phase"], transition["first_epoch"], transition["best_epoch"]) == (1, 2, 0)
    assert policy["check"]["frozen_moved"] == [] == policy["check"]["trained_unmoved"]


def test_what_trained_before_and_is_frozen_now_goes_back_too_where_its_average_moved_on(quick, states):
    words = ["policy=chain", "policy.epochs=9", "policy.patience=1", "policy.min_delta=9", "callback=[quiet,ema]"]
    folder = train(quick(*words, "trainer.max_epochs=5", "test=null", "cache=off", samples=60)).folder
    assert same(states["start", 2], states["end", 0]) and same(states["start", 4], states["end", 2])
    assert not same(states["end", 3], states["end", 2])
    stage1 = "module.backbone.net.stage1.0.weight", "module.head.output.weight"
    best, last = states["end", 2][1], states["end", 3][1]
    assert all(not torch.equal(best[name], last[name]) for name in stage1)  # the head is frozen then
    kept = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["phases"]["best"]
    assert (
        "head.output.weight" not in kept["weights"] and "module.backbone.net.stage3.0.weight" not in kept["averages"][0]
    )


def test_a_checkpoint_holds_of_the_best_only_what_its_phase_trains(quick):
    folder = train(quick(*PROBE, "policy.patience=9", "trainer.max_epochs=2", samples=60)).folder
    kept = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["phases"]["best"]
    assert {name.partition(".")[0] for name in kept["weights"]} == {"head"}
    assert [len(state) for state in kept["optimizers"]] == [2] and kept["averages"] == []


def test_a_phase_that_runs_out_of_epochs_hands_its_best_weights_on_too(quick, states):
    words = [*PROBE, "policy.probe_epochs=3", "policy.patience=5", "policy.min_delta=9"]
    folder = train(quick(*words, samples=60)).folder
    assert same(states["start", 2], states["end", 1])
    assert same(states["start", 3], states["end", 0])
    assert json.loads((folder / "run.json").read_text())["policy"]["transitions"][0]["first_epoch"] == 3


@pytest.mark.parametrize(
    ("mode", "scores", "waits", "kept"),
    [
        ("max", [0.1, 0.3, 0.2, 0.3], [0, 0, 1, 2], 1),
        ("min", [0.3, 0.1, 0.2, 0.05], [0, 0, 1, 0], 3),
        ("max", [0.1, 0.15, 0.19, 0.21], [0, 1, 2, 0], 3),  # with a min_delta of 0.1
        ("max", [float("nan"), 0.1, float("nan"), 0.3], [1, 0, 1, 0], 3),
        ("min", [float("nan")] * 4, [1, 2, 3, 4], None),
    ],
)
def test_validations_are_counted_since_the_best(mode, scores, waits, kept):
    """A validation that is no number beats nothing."""
    plateau = Plateau(9, 0.1 if scores[1] == 0.15 else 0.0)
    task = nn.Linear(1, 1)
    task.table = ParameterTable((), (Phase(0, frozenset(), plateau=plateau), Phase(9, frozenset())))
    task.monitor, task.mode = "val/accuracy", mode
    strategy = SimpleNamespace(broadcast=lambda x: x)
    trainer = SimpleNamespace(sanity_checking=False, strategy=strategy, callbacks=[], optimizers=[])
    trainer.state = SimpleNamespace(fn=TrainerFn.FITTING)
    change, seen = PhaseChange(), []
    for trainer.current_epoch, score in enumerate(scores):
        trainer.callback_metrics = {"val/accuracy": torch.tensor(score)}
        change.on_validation_end(trainer, task)
        seen.append(change._waited)
    assert seen == waits
    assert (change._best or {}).get("epoch") == kept


def test_metrics_of_validation_inside_an_epoch_count_and_the_phase_ends_with_the_epoch(quick, states):
    words = [*PROBE, "policy.min_delta=9", "policy.patience=2", "+trainer.val_check_interval=1", "data.batch_size=16"]
    folder = train(quick(*words, samples=60)).folder
    assert json.loads((folder / "run.json").read_text())["policy"]["transitions"][0]["first_epoch"] == 1

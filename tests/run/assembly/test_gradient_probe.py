from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tunesmith.config.compose import compose
from tunesmith.policy.chain import Chain
from tunesmith.policy.surgical import Surgical
from tunesmith.run.assembly import gradient_probe
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.train import train
from tunesmith.task.base import Task


def test_gradients_are_those_of_the_loss_over_the_weights_and_leave_no_trace(quick, tmp_path):
    parts = assemble(quick("policy=full", "head=mlp", "head.dropout=0.5", samples=60), tmp_path, {})
    task, data = parts.task, parts.data
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in task.state_dict().items()}
    found = gradient_probe.relative_gradients(task, data)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(v.equal(state[k]) for k, v in task.state_dict().items()) and task.training
    assert all(p.grad is None for p in task.parameters())
    assert list(found) == ["stage1", "stage2", "stage3"]
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    task.eval()
    task.loss(task(batch["input"]), batch["target"]).backward()
    for stage, value in found.items():
        own = [p for n, p in task.named_parameters() if f".{stage}." in n]
        pull, size = (torch.cat([t.detach().flatten() for t in ts]).norm() for ts in ([p.grad for p in own], own))
        assert value == pytest.approx(float(pull / size), rel=1e-4)


def test_a_run_chooses_once_and_keeps_its_choice(quick, monkeypatch, capsys):
    monkeypatch.setattr(gradient_probe, "relative_gradients", lambda *a: {"stage1": 0.1, "stage2": 0.9, "stage3": 0.2})
    folder = train(quick("policy=surgical", samples=60)).folder
    assert OmegaConf.load(folder / "config.yaml").policy.chosen == ["stage2"]
    record = json.loads((folder / "run.json").read_text())["policy"]
    assert record["gradients"]["stage2"] == 0.9 and record["check"]["frozen_moved"] == []
    assert "Gradients before training" in capsys.readouterr().out
    monkeypatch.setattr(gradient_probe, "relative_gradients", lambda *a: pytest.fail("it chose again"))
    trainable = rebuild(str(folder), "best").task.table.trainable(0)
    assert {name.partition("net.")[2].partition(".")[0] for name in trainable} == {"stage2", ""}


def test_processes_do_not_choose_each_for_itself():
    (sentence,) = gradient_probe.mistakes(Surgical(), 2)
    assert "policy.chosen on several devices" in sentence
    for policy, processes in ((Surgical(), 1), (Surgical(chosen=["stage1"]), 2), (Chain(), 2)):
        assert not list(gradient_probe.mistakes(policy, processes))


def test_a_run_that_chose_goes_on_without_a_validation_split_too(quick, monkeypatch):
    """Its config.yaml holds the choice and nothing else that was settled on the way."""
    words = [
        "policy=surgical",
        "data.split.val=0",
        "callback=default",
        "callback.progress=null",
    ]
    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr(Task, "on_test_epoch_end", lambda self: {}["stop"])
        train(quick(*words, samples=60))
    (path,) = Path(quick().paths.logs).rglob("run.json")
    assert OmegaConf.load(path.with_name("config.yaml")).task.monitor == "val/accuracy"
    train(compose("train", [f"resume={path.parent}"]))
    assert json.loads(path.read_text())["status"] == "completed"

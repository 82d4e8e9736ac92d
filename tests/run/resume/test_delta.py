"""Checkpoints that hold only what a run changed, from the run that saves them to every way of loading them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model

from tunesmith.backbone.tiny import Tiny
from tunesmith.config.compose import compose
from tunesmith.errors import RunError, WeightsError
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.evaluate import evaluate
from tunesmith.run.predict import predict
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import digests


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(9)
    torch.save(Tiny().net.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def trained(quick, source, *more):
    return train(quick(f"backbone.weights={source}", "callback=[quiet,ema]", *more, samples=60)).folder


def interrupted(monkeypatch, cfg, step=6):
    """Train until a step, and no further; give the folder."""
    training_step = Task.training_step

    def stepping(self, batch, number):
        if self.trainer.global_step == step:
            raise KeyboardInterrupt
        return training_step(self, batch, number)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "training_step", stepping)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(cfg)
    (folder,) = (path.parent for path in Path(cfg.paths.logs).rglob("run.json"))
    return folder


def test_a_run_that_was_interrupted_has_the_bits_that_whole_checkpoints_give(quick, source, monkeypatch):
    options = [f"backbone.weights={source}", "policy=lora", "callback=[quiet,ema]", "test=null", "data.batch_size=8"]
    cfg = quick(*options, "callback.last.every_n_train_steps=2", samples=60)
    delta, whole = interrupted(monkeypatch, cfg), train(quick(*options, "task.save=all", samples=60)).folder
    assert train(compose("train", [f"resume={delta}"])).folder == delta
    for weights in ("best", "last"):
        assert digests(rebuild(str(delta), weights).task) == digests(rebuild(str(whole), weights).task)
    kept, all_of_it = (load(folder / "checkpoints" / "last.ckpt") for folder in (delta, whole))
    assert len(kept["state_dict"]) < len(all_of_it["state_dict"])
    assert kept["base"]["source"] == str(source) and "base" not in all_of_it
    assert len(kept["current_model_state"]) == len(kept["state_dict"])
    for name, tensor in kept["current_model_state"].items():
        assert torch.equal(tensor, all_of_it["current_model_state"][name])


def test_without_its_source_everything_that_needs_it_says_so_in_a_sentence(quick, source, tmp_path):
    folder = trained(quick, source, "policy=linear_probe", "test=null", "trainer.max_epochs=1")
    evaluate(compose("evaluate", [f"run={folder}", "split=val", "accelerator=cpu"]))
    source.rename(tmp_path / "moved.pth")
    for use in (
        lambda: evaluate(compose("evaluate", [f"run={folder}"])),
        lambda: predict(compose("predict", [f"run={folder}", "input=."])),
    ):
        with pytest.raises(RunError, match=r"Expected the weights that the run began .*weights\.pth.* not available"):
            use()
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "status": "failed"}))
    with pytest.raises(WeightsError, match=r"weights\.pth"):
        train(compose("train", [f"resume={folder}"]))
    torch.save(Tiny().net.state_dict(), source)
    with pytest.raises(RunError, match=r"holds only what it changed, but .* tensors differ"):
        evaluate(compose("evaluate", [f"run={folder}"]))
    with pytest.raises(RunError, match="the checkpoint holds only what it changed"):
        train(compose("train", [f"resume={folder}"]))


def test_a_probe_of_a_resnet50_takes_less_than_two_percent(quick, tmp_path, monkeypatch):
    source = tmp_path / "resnet50.pth"
    torch.save(get_model("resnet50").state_dict(), source)
    monkeypatch.setattr(Task, "validation_step", lambda *a: None)
    backbone = [
        "backbone=torchvision",
        "backbone.name=resnet50",
        f"backbone.weights={source}",
        "backbone.image_size=32",
    ]
    options = ["policy=linear_probe", "test=null", "trainer.max_epochs=1", "data.split.val=0", "cache=off"]
    options += ["trainer.limit_train_batches=1", "data.split.test=0"]
    folder = train(quick(*backbone, *options, "data.batch_size=8", samples=9)).folder
    for name in ("best.ckpt", "last.ckpt"):
        assert (folder / "checkpoints" / name).stat().st_size < 0.02 * source.stat().st_size

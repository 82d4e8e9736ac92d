"""Which parts of a model are in training mode at a training step, whatever was done to the module before."""

from __future__ import annotations

import pytest
from torch import nn

from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.record.quiet import quiet
from tunesmith.task.base import Task

WORDS = [
    *("backbone=torchvision", "backbone.name=small_vit", "backbone.weights=null", "+backbone.image_size=32"),
    *("policy=last_stages", "policy.stages=1", "test=null", "data.batch_size=16", "cache=off"),
    *("callback.last.every_n_train_steps=1", "callback.last.every_n_minutes=null"),
]


def training(task):
    return {name for name, module in task.backbone.named_modules() if module.training}


@pytest.fixture
def modes(monkeypatch):
    """The names of the modules in training mode, by training step."""
    seen = []
    step = Task.training_step

    def look(self, batch, batch_idx):
        seen.append(training(self))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", look)
    return seen


def assembled(quick, folder):
    cfg = quick(*WORDS, f"paths.run={folder}", samples=60)
    return assemble(cfg, folder, {})


def stage_modules(backbone, stage):
    """Names of all modules of a stage, and of its dropouts."""
    units = {k: m for k, m in backbone.members(stage).items() if isinstance(m, nn.Module)}
    named = {f"net.{k}.{n}".rstrip("."): m for k, unit in units.items() for n, m in unit.named_modules()}
    return set(named), {n for n, m in named.items() if isinstance(m, nn.Dropout) and m.p > 0}


def check(seen, backbone):
    *frozen, trains = backbone.stages
    _, dropouts = stage_modules(backbone, trains)
    assert dropouts
    for step in seen:
        assert not any(stage_modules(backbone, stage)[0] & step for stage in frozen)
        assert dropouts <= step


def test_frozen_parts_are_in_eval_and_what_trains_is_not(modes, quick, tmp_path, monkeypatch):
    """The module arrives in eval mode, as those of transformers do, and is put through validate, train and a resume."""
    parts = assembled(quick, tmp_path)
    parts.task.eval()

    def dies(*args):
        if len(modes) == 5:
            raise RuntimeError("dies")

    monkeypatch.setattr(Task, "on_validation_end", lambda self: self.train())
    with quiet():
        parts.trainer.validate(parts.task, datamodule=parts.data, verbose=False)
        parts.task.on_train_batch_end = dies
        with pytest.raises(RuntimeError, match="dies"):
            parts.trainer.fit(parts.task, datamodule=parts.data)
        parts.trainer.validate(parts.task, datamodule=parts.data, verbose=False)
        parts.task.train()
        check(modes, parts.task.backbone)
        check([training(parts.task)], parts.task.backbone)
        again = assembled(quick, tmp_path)
        again.task.eval()
        last = tmp_path / "checkpoints" / "last.ckpt"
        again.trainer.fit(again.task, datamodule=again.data, ckpt_path=last, weights_only=True)
    assert len(modes) == 7  # of two epochs of three, and the fifth came twice
    check(modes, again.task.backbone)


def test_without_our_own_train_frozen_dropout_would_be_at_work(modes, quick, tmp_path, monkeypatch):
    """Negative control."""
    monkeypatch.setattr("tunesmith.task.base.freeze_modes", lambda unit: None)
    parts = assembled(quick, tmp_path)
    with quiet():
        parts.trainer.fit(parts.task, datamodule=parts.data)
    with pytest.raises(AssertionError):
        check(modes, parts.task.backbone)

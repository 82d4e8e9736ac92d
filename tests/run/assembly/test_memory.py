"""Memory that runs out in a run: the sentence says what to change, and what was saved is left."""

from __future__ import annotations

import json

import pytest
import torch
from killing import configured, run_folder
from omegaconf import OmegaConf

from tunesmith.errors import RunError
from tunesmith.run.assembly import memory
from tunesmith.run.resume import checkpoint
from tunesmith.run.resume.last_checkpoint import LAST
from tunesmith.run.train import train
from tunesmith.task.base import Task

CFG = OmegaConf.create({"data": {"batch_size": 32}, "trainer": {"micro_batch_size": None}})


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_what_to_change(error):
    with (
        pytest.raises(RunError, match=r"micro_batch_size=16, .* micro-batches, or trainer\.micro_batch_size=auto"),
        memory.told(CFG),
    ):
        raise error


@pytest.mark.parametrize(("size", "said"), [(32, "in micro-batches of 8; use trainer.micro_batch_size=4"), (16, None)])
def test_micro_batches_that_were_found_are_made_smaller(size, said):
    cfg = OmegaConf.create({"data": {"batch_size": 32}, "trainer": {"micro_batch_size": "auto"}})
    found = {"batch": {"batch_size": size, "micro_batch_size": 8, "found": True}}
    with pytest.raises(RunError, match=r"ran out at data\.batch_size=32") as caught, memory.told(cfg, found):
        raise MemoryError
    assert (said or "in micro-batches of auto") in str(caught.value)  # of another batch nothing is known


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="another"), memory.told(CFG):
        raise RuntimeError("another")


def test_in_a_run_what_was_saved_is_left(tmp_path, monkeypatch):
    def hungry(self, batch, batch_idx):
        if self.trainer.global_step == 7:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, batch_idx)

    step = Task.training_step
    monkeypatch.setattr(Task, "training_step", hungry)
    cfg = configured(tmp_path)
    with pytest.raises(RunError, match=r"trainer\.micro_batch_size=4"):
        train(cfg)
    folder = run_folder(cfg)
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    assert checkpoint.read_manifest(folder / "checkpoints")[LAST]["step"] == 6
    assert checkpoint.holds(folder / "checkpoints" / LAST)

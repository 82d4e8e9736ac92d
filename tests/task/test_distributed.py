"""Two ranks through a thaw, in forked processes: they take no time to start."""

from __future__ import annotations

from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy

from tunesmith.errors import PolicyError
from tunesmith.run.assemble import assemble
from tunesmith.run.checkpoint import POSITION
from tunesmith.run.quiet import quiet
from tunesmith.task import distributed
from tunesmith.task.base import Task

# From Python 3.12 on a fork beside threads is warned of; these have no locks that a child would wait for.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

# Norms stay frozen: their statistics would be those of each process's own share.
PHASES = (
    "policy.phases=[{train: [head], epochs: 1}, {train: [all], freeze: [norm, 'stage: :2'], epochs: 1},"
    "{train: [all], freeze: [norm], optimizer: {_target_: torch.optim.SGD, lr: 0.05, momentum: 0.9}}]"
)

WAITING = (
    "policy.phases=[{train: [head], epochs: 9, patience: 1, min_delta: 9},"
    "{train: [all], freeze: [norm], optimizer: {_target_: torch.optim.SGD, lr: 0.05, momentum: 0.9}}]"
)


def train(quick, folder, devices, *more, ckpt_path=None):
    """Fit, in double precision, and give every rank's weights."""
    several = ["+trainer.strategy=ddp_fork", "trainer.devices=2"] if devices > 1 else []
    words = [PHASES, "trainer.max_epochs=3", "trainer.precision=64-true", "test=null", "callback=none", *several, *more]
    folder = folder / str(devices)
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    parts = assemble(quick(*words, f"data.batch_size={16 // devices}", f"paths.run={folder}"), folder, {})
    parts.task.on_train_end = lambda: torch.save(parts.task.state_dict(), folder / f"{parts.trainer.global_rank}.pt")
    parts.trainer.strategy.checkpoint_io = TorchCheckpointIO()  # the launcher hands weights to the parent by a file
    with quiet():
        parts.trainer.fit(parts.task, datamodule=parts.data, ckpt_path=ckpt_path, weights_only=True)
    return [torch.load(folder / f"{rank}.pt") for rank in range(devices)]


def differing(one, other, tolerance=0.0):
    return [k for k in one if not torch.allclose(one[k].double(), other[k].double(), rtol=0, atol=tolerance)]


@pytest.mark.parametrize("more", [[], ["trainer.accumulate_grad_batches=2"], [WAITING]])
def test_ranks_stay_equal_to_each_other_and_to_one_process_with_the_doubled_batch(more, quick, tmp_path):
    first, second = train(quick, tmp_path, 2, *more)
    (alone,) = train(quick, tmp_path, 1, *more)
    assert differing(first, second) == []
    assert differing(first, alone, 1e-6) == []


def test_without_wrapping_anew_they_drift_apart(quick, tmp_path, monkeypatch):
    """Negative control."""
    monkeypatch.setattr("tunesmith.task.base.rewrap", lambda *a: None)
    assert differing(*train(quick, tmp_path, 2))


def test_other_strategies_and_for_several_phases_other_versions_are_refused(monkeypatch):
    for strategy in (DDPStrategy(), SingleDeviceStrategy()):
        distributed.check_phases(strategy, 1)
        distributed.check_phases(strategy, 3)
    for phases in (1, 3):
        with pytest.raises(PolicyError, match=r"strategy to be auto or ddp.* but got FSDPStrategy; use trainer=ddp"):
            distributed.check_phases(FSDPStrategy(), phases)
    monkeypatch.setattr(lightning, "__version__", "2.7.0")
    distributed.check_phases(SingleDeviceStrategy(), 3)
    with pytest.raises(PolicyError, match=r"Lightning 2.6.\*.*but got 2.7.0.*trainer.devices=1"):
        distributed.check_phases(DDPStrategy(), 3)
    with pytest.raises(PolicyError):
        distributed.rewrap(DDPStrategy(), SimpleNamespace())


def test_the_installed_lightning_is_known():
    assert lightning.__version__.startswith(distributed.KNOWN)


class StopError(Exception):
    """What interrupts both ranks."""


RESUMED = [
    "callback=quiet",
    "callback.last.every_n_train_steps=1",
    "callback.last.every_n_minutes=null",
    "rates=layer_decay",
]


@pytest.mark.parametrize("phases", [PHASES, WAITING])
def test_two_ranks_resumed_in_the_middle_of_a_phase_end_with_the_bits_of_those_that_were_not(
    phases, quick, tmp_path, monkeypatch
):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    expected = train(quick, whole, 2, *RESUMED, phases)
    step = Task.training_step

    def dies(self, batch, batch_idx):
        if (self.current_epoch, batch_idx) == (2, 1):
            raise StopError
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patched, pytest.raises(Exception, match="StopError"):
        patched.setattr(Task, "training_step", dies)
        train(quick, resumed, 2, *RESUMED, phases)
    last = resumed / "2" / "checkpoints" / "last.ckpt"
    place = torch.load(last, weights_only=True)[POSITION]
    assert (place["epoch"], place["batch"]) == (2, 1)
    found = train(quick, resumed, 2, *RESUMED, phases, ckpt_path=last)
    assert [differing(a, b) for a, b in zip(found, expected, strict=True)] == [[], []]
    assert differing(*found) == []

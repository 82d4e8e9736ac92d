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
from tunesmith.run.quiet import quiet
from tunesmith.task import distributed

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


def train(quick, folder, devices, *more):
    """Fit, in double precision, and give every rank's weights."""
    several = ["+trainer.strategy=ddp_fork", "trainer.devices=2"] if devices > 1 else []
    words = [PHASES, "trainer.max_epochs=3", "trainer.precision=64-true", "test=null", "callback=none", *several, *more]
    folder = folder / str(devices)
    folder.mkdir()
    torch.manual_seed(0)
    parts = assemble(quick(*words, f"data.batch_size={16 // devices}", f"paths.run={folder}"), folder, {})
    parts.task.on_train_end = lambda: torch.save(parts.task.state_dict(), folder / f"{parts.trainer.global_rank}.pt")
    parts.trainer.strategy.checkpoint_io = TorchCheckpointIO()  # the launcher hands weights to the parent by a file
    with quiet():
        parts.trainer.fit(parts.task, datamodule=parts.data)
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


def test_other_strategies_and_versions_are_refused_for_several_phases(monkeypatch):
    for strategy in (FSDPStrategy(), DDPStrategy(), SingleDeviceStrategy()):
        distributed.check_phases(strategy, 1)
    distributed.check_phases(DDPStrategy(), 3)
    with pytest.raises(PolicyError, match=r"strategy=ddp for a policy with 3 phases but got FSDPStrategy"):
        distributed.check_phases(FSDPStrategy(), 3)
    monkeypatch.setattr(lightning, "__version__", "2.7.0")
    distributed.check_phases(SingleDeviceStrategy(), 3)
    with pytest.raises(PolicyError, match=r"Lightning 2.6.\*.*but got 2.7.0.*trainer.devices=1"):
        distributed.check_phases(DDPStrategy(), 3)
    with pytest.raises(PolicyError):
        distributed.rewrap(DDPStrategy(), SimpleNamespace())


def test_the_installed_lightning_is_known():
    assert lightning.__version__.startswith(distributed.KNOWN)

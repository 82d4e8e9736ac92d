from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tunesmith.config.compose import compose
from tunesmith.errors import RunError
from tunesmith.run.callback import self_check
from tunesmith.run.train import train
from tunesmith.task.base import Task


def check_of(folder):
    return json.loads((folder / "run.json").read_text())["policy"]["check"]


class Inner(nn.Module):
    """A buffer without parameters beside it, in what has parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.free = nn.BatchNorm1d(2, affine=False)


NET = nn.ModuleDict({"norm": nn.BatchNorm1d(2), "inner": Inner()})
STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize(
    ("phases", "frozen"),
    [
        ([set()], set(NET.state_dict())),
        ([{"norm.weight"}], set(NET.state_dict()) - {"norm.weight"}),
        ([{"norm.weight"}, {"norm.bias"}], set(NET.state_dict()) - {"norm.weight", "norm.bias"}),
        ([set(), {"norm.weight", "norm.bias"}], {n for n in NET.state_dict() if n.startswith("inner")}),
        (
            [{"inner.linear.bias"}],
            {n for n in NET.state_dict() if n.startswith("norm")} | {"inner.linear.weight"},
        ),
        ([{n for n, _ in NET.named_parameters()}], set()),
    ],
)
def test_what_nothing_may_change(phases, frozen):
    assert set(self_check.frozen_names(NET, [frozenset(p) for p in phases])) == frozen


def test_every_bit_counts_and_memory_layout_does_not():
    weight = torch.randn(2, 3, 4, 5)
    net = nn.Module()
    net.register_buffer("x", weight)
    net.register_buffer("small", weight.bfloat16())
    net.register_buffer("count", torch.tensor(3))
    before = self_check.digests(net)
    net.x = weight.contiguous(memory_format=torch.channels_last)
    assert self_check.digests(net) == before
    net.x = weight.clone()
    net.x[0, 0, 0, 0] = torch.nextafter(net.x[0, 0, 0, 0], torch.tensor(9.0))
    assert {k for k, v in self_check.digests(net).items() if v != before[k]} == {"x"}


def test_a_good_run_says_so(quick):
    folder = train(quick("policy=first_frozen", "policy.stages=1", "test=null", samples=60)).folder
    assert check_of(folder) == {"frozen": 6, "frozen_moved": [], "trained": 8, "trained_unmoved": []}


def test_a_frozen_buffer_that_moves_fails_the_run(quick, monkeypatch):
    monkeypatch.setattr("tunesmith.task.base.freeze_modes", lambda unit: None)
    cfg = quick("policy=linear_probe", "cache=off", "test=null", samples=60)
    with pytest.raises(RunError, match=r"18 frozen tensors.*9 changed: .*running_mean, .* and 4 more"):
        train(cfg)
    (path,) = Path(cfg.paths.logs).rglob("run.json")
    assert json.loads(path.read_text())["status"] == "failed"
    assert len(check_of(path.parent)["frozen_moved"]) == 9


def test_what_never_moves_is_listed(quick, capsys):
    folder = train(quick("policy=linear_probe", "optimizer.lr=0", "test=null", samples=60)).folder
    assert check_of(folder)["trained_unmoved"] == ["head.output.weight", "head.output.bias"]
    assert "2 of 2 tensors that trained never moved: head.output.weight, head.output.bias." in capsys.readouterr().out


def test_a_resumed_run_is_compared_with_its_first_start(quick, monkeypatch):
    """What moves while the run is down is not lost with the process that died."""
    cfg = quick("policy=linear_probe", "cache=off", "test=null", "trainer.max_epochs=3", samples=60)
    steps, step = 0, Task.training_step

    def dies(*args):
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return step(*args)

    with monkeypatch.context() as patched, pytest.raises((KeyboardInterrupt, SystemExit)):
        patched.setattr(Task, "training_step", dies)
        patched.setattr("tunesmith.task.base.freeze_modes", lambda unit: None)
        train(cfg)
    (folder,) = (path.parent for path in Path(cfg.paths.logs).rglob("run.json"))
    with pytest.raises(RunError, match="9 changed"):
        train(compose("train", [f"resume={folder}"]))

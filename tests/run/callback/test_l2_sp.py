from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tunesmith.contract.parameters import HEAD, Parameter, ParameterTable, Phase, Rate, Row
from tunesmith.errors import ConfigError, RunError
from tunesmith.run.callback.l2_sp import L2SP
from tunesmith.run.train import train


def made(weight_decay=0.0):
    """A network of two layers and a head, the first of which never trains."""
    torch.manual_seed(0)
    task = nn.ModuleDict({"frozen": nn.Linear(3, 3), "layer": nn.Linear(3, 3), HEAD: nn.Linear(3, 2)})
    rows = []
    for name, p in task.named_parameters():
        stage = name.partition(".")[0]
        seen = Parameter(name, stage, 0, False, name.endswith("bias"), p.ndim, p.numel())
        rows.append(Row(seen, None if stage == "frozen" else 0, Rate(), weight_decay))
    task.table = ParameterTable(tuple(rows), (Phase(0, frozenset()),))
    task["frozen"].requires_grad_(False)
    task.device = torch.device("cpu")
    return task


def loss_of(task):
    return task[HEAD](task["layer"](task["frozen"](torch.ones(4, 3)))).square().sum()


def test_it_is_the_gradient_of_the_papers_penalty():
    task, penalty = made(), L2SP(alpha=0.3, beta=0.2)
    start = {name: p.detach().clone() for name, p in task.named_parameters()}
    penalty.setup(None, task, "fit")
    penalty.on_fit_start(None, task)
    with torch.no_grad():
        for p in task.parameters():
            p.add_(0.1)
    parameters = dict(task.named_parameters())
    distance = sum((parameters[n] - start[n]).square().sum() for n in ("layer.weight", "layer.bias"))
    whole = loss_of(task) + 0.3 / 2 * distance + 0.2 / 2 * parameters["head.weight"].square().sum()
    trains = {n: p for n, p in parameters.items() if p.requires_grad}
    expected = torch.autograd.grad(whole, list(trains.values()))
    loss_of(task).backward()
    penalty.on_before_optimizer_step(None, task, None)
    for (name, p), gradient in zip(trains.items(), expected, strict=True):
        assert torch.allclose(p.grad, gradient, atol=1e-6), name
    assert task["frozen"].weight.grad is None


def test_what_is_frozen_now_is_not_pulled():
    task, penalty = made(), L2SP()
    penalty.setup(None, task, "fit")
    penalty.on_before_optimizer_step(None, task, None)
    assert all(p.grad is None for p in task.parameters())


def test_a_resumed_run_with_another_start_is_refused():
    one, other = L2SP(), L2SP()
    one.setup(None, made(), "fit")
    other.setup(None, made(), "fit")
    other.load_state_dict(one.state_dict())
    moved = made()
    nn.init.zeros_(moved["layer"].weight)
    other.setup(None, moved, "fit")
    with pytest.raises(RunError, match=r"1 of 2 differ, first layer.weight"):
        other.load_state_dict(one.state_dict())


@pytest.mark.parametrize("options", [{"alpha": -1}, {"beta": -0.1}])
def test_negative_strengths_are_refused(options):
    with pytest.raises(ConfigError, match="0 or more but got -"):
        L2SP(**options)


def test_two_decays_are_refused():
    with pytest.raises(ConfigError, match=r"optimizer.weight_decay=0 with callback.l2_sp.*but got 0.05"):
        L2SP().setup(SimpleNamespace(), made(0.05), "fit")


WORDS = ["callback=[quiet,l2_sp]", "optimizer=sgd", "optimizer.lr=0.05", "optimizer.weight_decay=0", "test=null"]


@pytest.mark.parametrize("policy", ["full", "lora"])
def test_the_stronger_it_is_the_less_the_backbone_moves(policy, quick, monkeypatch):
    """Adapters begin with a product of zero: near their start they change nothing."""
    monkeypatch.setattr("tunesmith.run.evaluation.plot.draw_all", lambda *a: [])
    moved = []

    def look(self, trainer, task):
        now = dict(task.named_parameters())
        moved.append(sum(float((now[n].detach() - start).square().sum()) for n, start in self._start.items()))

    monkeypatch.setattr(L2SP, "on_train_end", look)
    for alpha in (0, 15):
        train(quick(*WORDS, f"policy={policy}", f"callback.l2_sp.alpha={alpha}", samples=60))
    assert 0 < moved[1] < 0.7 * moved[0]

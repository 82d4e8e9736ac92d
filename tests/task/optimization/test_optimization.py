from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tunesmith.contract.parameters import Parameter, ParameterTable, Phase, Rate, Row
from tunesmith.task.optimization.optimization import Optimization, gated, make_optimizer, set_gates, steps


def trainer(batches, accumulated, epochs, most=float("inf")):
    total = min(most, -(-batches // accumulated) * epochs)
    return SimpleNamespace(
        estimated_stepping_batches=total, num_training_batches=batches, accumulate_grad_batches=accumulated
    )


@pytest.mark.parametrize(
    ("given", "span", "expected"),
    [
        (trainer(7, 1, 10), (0, None), (70, 7)),
        (trainer(7, 1, 10), (3, None), (49, 7)),
        (trainer(7, 1, 10), (3, 5), (14, 7)),
        (trainer(7, 2, 10), (3, 5), (8, 4)),  # the last window of an epoch is partial
        (trainer(7, 1, 10, most=25), (3, 5), (4, 7)),
        (trainer(7, 1, 2), (3, 5), (1, 7)),  # it never comes to that phase
    ],
)
def test_steps_of_a_stretch_of_epochs(given, span, expected):
    assert steps(given, span) == expected


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_every_optimizer_has_the_same_named_groups_at_its_own_rate_and_decay(kind):
    net = nn.Linear(3, 2)
    rows = [
        Row(Parameter(n, "s", 0, False, n == "bias", p.ndim, p.numel()), 0, Rate(0.5, float(n != "bias")), 0.0)
        for n, p in net.named_parameters()
    ]
    table = ParameterTable(tuple(rows), (Phase(0, frozenset(("weight",))), Phase(1, frozenset(("weight",)), {"lr": 3})))
    asked = []

    def make(groups, own):
        asked.append(own)
        return kind(groups, lr=1.0, weight_decay=0.3)

    groups = make_optimizer(net, table, 1, make).param_groups
    assert asked == [{"lr": 3}]
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in groups] == [("s", 0.5, 0.3), ("s/no_decay", 0.5, 0.0)]
    assert [id(p) for g in groups for p in g["params"]] == [id(p) for p in net.parameters()]


def test_rates_are_held_below_the_schedule_for_the_step_alone():
    weights = [nn.Parameter(torch.zeros(())) for _ in range(3)]
    rates = [Rate(), Rate(start=0.25, ramp=0.5), Rate(warmup=1.0)]
    groups = [{"params": [w], "thaw": 0, **asdict(r)} for w, r in zip(weights, rates, strict=True)]
    groups[2]["thaw"] = 1
    optimizer = torch.optim.SGD(groups, lr=0.3)
    for weight in weights:
        weight.grad = torch.ones(())
    with gated(optimizer.param_groups, step=10, clock=(40, 10)):
        optimizer.step()
    assert [-w.item() for w in weights] == pytest.approx([0.3, 0.3 * 0.25**0.5, 0.3 * 0.1])
    assert [g["lr"] for g in optimizer.param_groups] == [0.3] * 3
    assert [g["gate"] for g in optimizer.param_groups] == pytest.approx([1.0, 0.25**0.45, 0.2])  # of the next step


def test_without_a_number_of_batches_the_data_are_set_up_first():
    """As where steps alone end the run; and accumulation counts windows, the last of which is partial."""
    given = trainer(float("inf"), 2, 1, most=30)

    def setup_data():
        given.num_training_batches = 7

    given.fit_loop = SimpleNamespace(setup_data=setup_data)
    assert steps(given, (2, None)) == (22, 4)
    given.num_training_batches = 0
    assert steps(given, (0, None)) == (30, 1)


@pytest.mark.parametrize(
    ("thaw", "step", "gate"), [(0, 0, 1.0), (1, 9, 0.05), (1, 10, 0.05), (1, 19, 0.5), (1, 29, 1.0), (1, 300, 1.0)]
)
def test_a_gate_opens_from_the_epoch_of_the_thaw_on(thaw, step, gate):
    groups = [{"thaw": thaw, "lr": 1.0, **asdict(Rate(warmup=2.0))}]
    set_gates(groups, step, (100, 10))
    wanted = gate if step != 9 else 0.0  # the step before
    assert groups[0]["gate"] == pytest.approx(wanted) and groups[0]["lr"] == 1.0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)


PHASES = (
    Phase(0, frozenset(("b.weight",))),
    Phase(2, frozenset(("a.weight", "b.weight"))),
    Phase(5, frozenset(("a.weight", "b.weight")), {"lr": 2.0}, {"kind": "own"}),
)


def laid_out(first=2):
    rows = [
        Row(Parameter(f"{n}.weight", n, d, False, False, 2, 4), epoch, Rate(0.5, start=0.5, ramp=1.0, warmup=2.0), 0.0)
        for d, (n, epoch) in enumerate((("a", first), ("b", 0)))
    ]
    return ParameterTable(tuple(rows), PHASES)


@pytest.fixture
def asked():
    """What an optimizer and a schedule are asked for."""
    return []


@pytest.fixture
def optimization(asked):
    def make(groups, own):
        asked.append(own)
        return torch.optim.SGD(groups, lr=1.0 if own is None else own["lr"])

    def schedule(optimizer, total, per_epoch, own):
        asked.append((optimizer, total, per_epoch, own))
        return "schedule", "step"

    return Optimization(make, schedule)


def fitting(step=0):
    found = trainer(10, 1, 8)
    found.global_step = step
    return found


def test_a_phase_with_an_optimizer_of_its_own_is_entered_once(optimization):
    table, entered = laid_out(), []
    for epoch in range(8):
        if optimization.enter(table, epoch):
            entered.append((epoch, optimization.phase))
    assert entered == [(5, 2)]


def test_optimizer_and_schedule_are_those_of_the_phase_over_its_own_steps(optimization, asked):
    table = laid_out()
    assert optimization.phase == 0
    optimizer, configured = optimization.build(Net(), table, fitting(step=0))
    assert configured == {"scheduler": "schedule", "interval": "step"}
    assert asked == [None, (optimizer, 50, 10, None)]
    # The gate of the first step, in a run of 80: nothing of a warm-up that begins in epoch 2.
    assert [group["gate"] for group in optimizer.param_groups] == pytest.approx([0.0, 0.5])
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    optimization.enter(table, 5)
    optimizer, _ = optimization.build(Net(), table, fitting(step=50))
    assert asked[2:] == [{"lr": 2.0}, (optimizer, 30, 10, {"kind": "own"})]
    assert [group["gate"] for group in optimizer.param_groups] == pytest.approx([0.5 ** (3 / 8)] * 2)


def test_a_look_at_an_optimizer_enters_no_phase(optimization, asked):
    assert [group["lr"] for group in optimization.optimizer(Net(), laid_out(), 6).param_groups] == [1.0, 1.0]
    assert asked == [{"lr": 2.0}] and optimization.phase == 0


def test_a_phase_that_begins_ahead_of_time_opens_its_gates_then(optimization):
    optimizer, _ = optimization.build(Net(), laid_out(), fitting())
    optimization.retime(optimizer, laid_out(first=1), step=14)
    assert [group["thaw"] for group in optimizer.param_groups] == [1, 0]
    share = 0.5 ** (1 - 14 / 80)
    assert [group["gate"] for group in optimizer.param_groups] == pytest.approx([share * 0.25, share])
    with optimization.gated(optimizer, 14):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5 * share * 0.25, 0.5 * share])
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


def test_rates_are_put_back_when_a_step_fails():
    groups = [{"lr": 1.0, "thaw": 0, **asdict(Rate(start=0.25, ramp=1.0))}]
    with pytest.raises(ZeroDivisionError), gated(groups, 0, (10, 10)):
        assert groups[0]["lr"] == 0.25
        raise ZeroDivisionError
    assert groups[0]["lr"] == 1.0


def test_an_optimizer_without_weight_decay_gets_none():
    optimizer = make_optimizer(Net(), laid_out(), 0, lambda groups, own: torch.optim.Rprop(groups, lr=1.0))
    assert [("weight_decay" in group, group["lr"]) for group in optimizer.param_groups] == [(False, 0.5)] * 2
    assert [group["multiplier"] for group in optimizer.param_groups] == [0.5, 0.5]

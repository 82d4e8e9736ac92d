from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tunesmith.contract.parameters import Parameter, ParameterTable, Phase, Rate, Row
from tunesmith.task.optimization.optimization import gated, make_optimizer, steps


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

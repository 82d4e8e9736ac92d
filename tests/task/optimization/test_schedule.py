from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from tunesmith.task.optimization import schedule


def rates(make, steps: int, **options) -> list[list[float]]:
    """Rates of two groups, 1.0 and 0.1, at every step."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups)
    scheduler = make(optimizer, total_steps=steps, **options)
    seen = []
    for _ in range(steps):
        seen.append([g["lr"] for g in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("make", [schedule.constant, schedule.cosine, schedule.one_cycle])
def test_groups_keep_their_proportion(make):
    for one, other in rates(make, 20):
        assert other == pytest.approx(one / 10)


@pytest.mark.parametrize("make", [schedule.constant, schedule.cosine, schedule.one_cycle])
def test_no_group_goes_above_its_own_rate(make):
    seen = rates(make, 40, warmup=0.25)
    assert max(one for one, _ in seen) == pytest.approx(1.0, abs=0.02)
    assert max(one for one, _ in seen) <= 1.0


def test_warm_up_rises_evenly_and_does_not_begin_at_nothing():
    first = [one for one, _ in rates(schedule.constant, 10, warmup=0.4)]
    assert first[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert first[5:] == [1.0] * 5


def test_cosine_ends_near_its_floor_and_falls_all_the_way():
    seen = [one for one, _ in rates(schedule.cosine, 100, warmup=0.0, floor=0.1)]
    assert seen[0] == 1.0
    assert seen[50] == pytest.approx(0.55)
    assert seen[-1] == pytest.approx(0.1, abs=1e-3)
    assert all(a > b for a, b in itertools.pairwise(seen))


def test_step_falls_every_few_epochs():
    seen = [one for one, _ in rates(schedule.step, 12, steps_per_epoch=2, every=2, gamma=0.5)]
    assert seen == pytest.approx([1.0] * 4 + [0.5] * 4 + [0.25] * 4)

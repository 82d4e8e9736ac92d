from dataclasses import replace

import pytest

from tunesmith.contract.parameters import Parameter, ParameterTable, Phase, Rate, Row

OWN = {"lr": 1.0}


def table(*owns):
    """A phase every two epochs, with these optimizers of their own."""
    row = Row(Parameter("a", "s", 0, False, False, 2, 4), 0, Rate(), 0.1)
    return ParameterTable((row,), tuple(Phase(2 * i, frozenset("a"), own) for i, own in enumerate(owns)))


@pytest.mark.parametrize(
    ("owns", "indices", "spans"),
    [
        ((None, None, None), [0, 0, 0], {0: (0, None)}),
        ((OWN, None, None), [0, 1, 1], {0: (0, 2), 1: (2, None)}),
        ((None, None, OWN), [0, 0, 2], {0: (0, 4), 2: (4, None)}),
        ((None, OWN, None), [0, 1, 2], {0: (0, 2), 1: (2, 4), 2: (4, None)}),
        ((OWN, OWN, OWN), [0, 1, 2], {0: (0, 2), 1: (2, 4), 2: (4, None)}),
    ],
)
def test_whose_optimizer_is_at_work_and_for_how_long(owns, indices, spans):
    made = table(*owns)
    assert [made.optimizer_phase(epoch) for epoch in range(6)] == [i for i in indices for _ in range(2)]
    assert {i: made.span(i) for i in set(indices)} == spans


def test_what_thaws_rises_evenly_to_the_whole_rate_and_never_above():
    rate = Rate(3.0, warmup=2.0)
    assert [rate.gate(0, 100, since) for since in (0.5, 1.0, 1.5, 2.0, 7.0)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate.gate(0, 100, None) == 1.0


@pytest.mark.parametrize("rate", [Rate(), Rate(start=0.1, ramp=0.3), Rate(warmup=1.5), Rate(2.0, 1.0, 0.5, 1.0, 0.7)])
def test_a_gate_is_above_nothing_and_never_above_the_schedule(rate):
    for step in range(100):
        for since in (None, (step + 1) / 10):
            assert 0 < rate.gate(step, 100, since) <= 1


def row(name, rate, first=0):
    return Row(Parameter(name, "s", 0, False, False, 2, 4), first, rate, 0.1)


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([row("a", Rate()), row("b", Rate(decay=0.0)), row("c", Rate())], {"s": "ac", "s/no_decay": "b"}),
        ([row("a", Rate(0.1)), row("b", Rate(2.0))], {"s/x0.1": "a", "s/x2.0": "b"}),
        ([row("a", Rate(decay=0.5)), row("b", Rate())], {"s/decay_x0.5": "a", "s": "b"}),
        # Only where they warm up does it matter when they thaw.
        ([row("a", Rate()), row("b", Rate(), first=2)], {"s": "ab"}),
        ([row("a", Rate(warmup=1.0)), row("b", Rate(warmup=1.0), 2)], {"s/phase_0": "a", "s/phase_1": "b"}),
        ([row("a", Rate(warmup=1.0)), row("b", Rate(warmup=1.0), None)], {"s": "ab"}),
    ],
)
def test_groups_are_named_by_what_differs(rows, names):
    groups = ParameterTable(tuple(rows), (Phase(0, frozenset()), Phase(2, frozenset()))).groups()
    assert {group.name: "".join(group.parameters) for group in groups} == names


def test_a_phase_that_begins_ahead_of_time_brings_the_later_ones_with_it():
    rows = tuple(row(name, Rate(warmup=1.0), first) for name, first in (("a", 0), ("b", 2), ("c", 4), ("d", None)))
    planned = replace(table(None, None, None), rows=rows)
    moved = planned.beginning(1, 1)
    assert [phase.first_epoch for phase in moved.phases] == [0, 1, 3]
    assert [phase.ahead for phase in moved.phases] == [0, 1, 0]
    assert [r.first_epoch for r in moved.rows] == [0, 1, 3, None]
    assert [moved.phase(epoch) for epoch in range(5)] == [0, 1, 1, 2, 2]
    assert planned.beginning(1, 2) == planned
    assert moved.beginning(1, 1) == moved
    assert [g.name for g in moved.groups()] == [g.name for g in planned.groups()]
    assert [g.thaw for g in moved.groups()] == [0, 1, 3]


def test_a_schedule_keeps_the_length_that_was_planned_when_it_began():
    """Else a run that is resumed after the decision would build another one."""
    planned = table(None, None, OWN, OWN)
    assert planned.beginning(1, 1).span(0) == planned.span(0) == (0, 4)
    assert planned.beginning(1, 1).beginning(2, 2).span(0) == (0, 4)
    assert planned.beginning(1, 1).span(2) == (3, 5)
    assert planned.beginning(1, 1).beginning(2, 2).span(2) == (2, 4)
    assert planned.beginning(1, 1).beginning(2, 2).beginning(3, 3).span(2) == (2, 4)

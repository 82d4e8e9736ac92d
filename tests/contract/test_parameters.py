from dataclasses import replace

import pytest

from tunesmith.contract.parameters import HEAD, Parameter, ParameterTable, Phase, Plateau, Rate, Row
from tunesmith.errors import PolicyError

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


def test_what_ramps_comes_evenly_in_the_exponent_to_the_whole_rate():
    rate = Rate(start=0.25, ramp=0.5)
    assert [rate.gate(step, 40, None) for step in (0, 5, 10, 15, 20, 39)] == [
        pytest.approx(0.25**left) for left in (1, 0.75, 0.5, 0.25, 0, 0)
    ]
    assert Rate(start=0.25).gate(0, 40, None) == 1.0
    both = Rate(start=0.25, ramp=0.5, warmup=2.0)
    assert both.gate(10, 40, 1.0) == pytest.approx(0.5 * 0.5)
    assert both.gate(10, 40, 2.0) == both.gate(10, 40, None) == pytest.approx(0.5)
    assert both.gate(10, 40, -1.0) == 0.0
    assert Rate() == Rate(1.0, 1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("patience", [0, -1, 1.0, True, "1"])
def test_a_patience_is_a_whole_number_of_at_least_1(patience):
    with pytest.raises(PolicyError, match=f"patience to be null or a whole number of at least 1 but got {patience!r}"):
        Plateau(patience)
    assert Plateau(1) == Plateau(1, 0.0) == Plateau.after(1, 0.0) and Plateau.after(None, 0.5) is None


@pytest.mark.parametrize("min_delta", [-1e-9, float("inf"), float("nan"), True, "1"])
def test_a_least_difference_is_a_finite_number_of_at_least_0(min_delta):
    with pytest.raises(PolicyError, match=f"min_delta to be at least 0 but got {min_delta!r}"):
        Plateau(1, min_delta)
    assert (Plateau(1, 0).min_delta, Plateau.after(3, 0.25)) == (0, Plateau(3, 0.25))


def whole():
    """A stem that never trains, a stage that thaws and a head, each of two parameters."""
    parameters = [
        Parameter(f"{stage}.{leaf}", stage, depth, False, leaf == "b", 2, 10 * depth + size)
        for depth, stage in enumerate(("stem", "layer", HEAD))
        for leaf, size in (("w", 4), ("b", 1))
    ]
    firsts, decays = {"stem": None, "layer": 2, HEAD: 0}, {"w": 0.1, "b": 0.0}
    rows = [Row(p, firsts[p.stage], Rate(0.5**p.depth), decays[p.name[-1]]) for p in parameters]
    heads = frozenset(("head.w", "head.b"))
    return ParameterTable(tuple(rows), (Phase(0, heads), Phase(2, heads | {"layer.w", "layer.b"})))


def test_what_trains_and_how_much_and_from_where_on_by_epoch():
    table = whole()
    assert [table.phase(epoch) for epoch in (0, 1, 2, 9)] == [0, 0, 1, 1]
    assert table.trainable(1) == {"head.w", "head.b"}
    assert table.trainable(2) == {"head.w", "head.b", "layer.w", "layer.b"}
    assert [table.boundary(epoch) for epoch in (1, 2)] == [2, 1]
    assert ParameterTable(table.rows, (Phase(0, frozenset()),)).boundary(0) == 0
    assert table.counts(1) == {"trainable": 45, "frozen": 30} and table.counts(2) == {"trainable": 70, "frozen": 5}


def test_the_table_as_text():
    assert whole().as_tsv().splitlines() == [
        "name\tstage\telements\ttrains_from_epoch\trate_multiplier\tweight_decay",
        "stem.w\tstem\t4\tnever\t1\t0.1",
        "stem.b\tstem\t1\tnever\t1\t0",
        "layer.w\tlayer\t14\t2\t0.5\t0.1",
        "layer.b\tlayer\t11\t2\t0.5\t0",
        "head.w\thead\t24\t0\t0.25\t0.1",
        "head.b\thead\t21\t0\t0.25\t0",
    ]
    assert whole().as_tsv().endswith("\t0\n")


def test_groups_keep_the_tables_order_and_stages_apart():
    found = [(g.name, g.rate, g.thaw, g.parameters) for g in whole().groups()]
    assert found == [
        ("stem", Rate(1.0), 0, ("stem.w", "stem.b")),
        ("layer", Rate(0.5), 0, ("layer.w", "layer.b")),
        ("head", Rate(0.25), 0, ("head.w", "head.b")),
    ]
    mixed = [row("a", Rate(0.1, 0.5)), row("b", Rate(0.2, 0.0)), row("c", Rate(0.1, 2.0)), row("d", Rate(0.2))]
    names = [group.name for group in ParameterTable(tuple(mixed), (Phase(0, frozenset()),)).groups()]
    assert names == ["s/x0.1/decay_x0.5", "s/x0.2/no_decay", "s/x0.1/decay_x2.0", "s/x0.2"]


def test_a_phase_is_apart_with_an_optimizer_or_a_schedule():
    plain = Phase(0, frozenset())
    assert not plain.apart and replace(plain, optimizer={}).apart and replace(plain, scheduler={}).apart
    assert (plain.plateau, plain.ahead) == (None, 0)


def test_a_parameter_is_no_embedding_unless_it_says_so():
    assert not Parameter("a", "s", 0, False, False, 2, 4).embedding

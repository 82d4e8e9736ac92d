from __future__ import annotations

from dataclasses import replace

import pytest

from tunesmith.cache.plan import Estimate, Span, in_bytes, in_time, served, spans
from tunesmith.contract.parameters import HEAD, Parameter, ParameterTable, Phase, Plateau, Row

PARAMETERS = [Parameter(name, name, depth, False, False, 1, 1) for depth, name in enumerate(["a", "b", "c", HEAD])]


def table(*phases):
    made = [Phase(first, frozenset(names)) for first, names in phases]
    return ParameterTable(tuple(Row(p, 0, 1.0, 0.0) for p in PARAMETERS), tuple(made))


def test_a_probe_is_one_cut_behind_everything():
    assert spans(table((0, [HEAD])), 10) == [Span(0, 10, 3)]


def test_thawing_moves_the_cut_forward():
    gradual = table((0, [HEAD]), (2, [HEAD, "c"]), (4, [HEAD, "a", "b", "c"]))
    assert spans(gradual, 10) == [Span(0, 2, 3), Span(2, 4, 2), Span(4, 10, 0)]
    assert spans(gradual, 3) == [Span(0, 2, 3), Span(2, 3, 2)]


def test_a_phase_that_may_begin_ahead_of_time_has_a_cut_too():
    waits, last = table((0, [HEAD]), (20, [HEAD, "c"])).phases
    waiting = replace(table(), phases=(replace(waits, plateau=Plateau(1)), last))
    assert spans(waiting, 10) == [Span(0, 10, 3), Span(20, 10, 2)]
    assert served(spans(waiting, 10), 2, 100, 10, 7) == 7
    assert [span.epochs for span in spans(waiting, 10)] == [10, 0]


def test_a_stage_that_has_trained_is_never_kept_again():
    assert spans(table((0, ["b"]), (1, [HEAD])), 4) == [Span(0, 1, 1), Span(1, 4, 1)]


def test_images_are_counted_by_cut():
    gradual = [Span(0, 2, 3), Span(2, 5, 2)]
    assert served(gradual, 3, 100, 10, 7) == 220
    assert served(gradual, 2, 100, 10, 7) == 337
    assert served(gradual, 2, 0, 10, 7) == 37


GOOD = {"images": 100, "spared": 1000, "row_bytes": 5_000, "rows": 100, "seconds": 0.01}


@pytest.mark.parametrize(
    ("change", "room", "reason"),
    [
        ({}, 10**9, None),
        ({"spared": 99}, 10**9, "this run needs 99"),
        ({"spared": 99, "asked": True}, 10**9, None),
        ({"seconds": 1e-6}, 10**9, "reading one"),
        ({}, 400_000, "do not fit into 400 kB"),
        ({}, -1, "do not fit into 0"),
    ],
)
def test_it_is_kept_where_it_pays_and_fits(change, room, reason):
    objection = Estimate(**GOOD | change).objection(room, memory=10**9)
    assert objection is None if reason is None else reason in objection


def test_what_is_larger_than_memory_is_read_from_the_disk():
    estimate = Estimate(**GOOD | {"row_bytes": 200_000, "seconds": 0.002})
    assert estimate.objection(10**12, memory=10**12) is None
    assert "reading one takes 2 ms" in estimate.objection(10**12, memory=1)


def test_numbers_for_people():
    assert [in_bytes(n) for n in (4_000, 13_400_000, 2.5e9)] == ["4 kB", "13.4 MB", "2.5 GB"]
    assert [in_time(n) for n in (0.25, 31.2, 600)] == ["0.25 s", "31 s", "10 min"]

import pytest
from networks import DEPTHS, PLAIN

from tunesmith.contract.parameters import HEAD, Plateau
from tunesmith.errors import PolicyError
from tunesmith.policy.gradual import Gradual


def stages(phase):
    return sorted({name.partition(".")[0] for name in phase.trainable}, key=lambda s: DEPTHS[s])


def test_a_stage_more_from_the_head_down_until_all_train():
    plan = Gradual(epochs=3).plan(PLAIN)
    assert [p.first_epoch for p in plan] == [0, 3, 6, 9]
    assert [stages(p) for p in plan] == [list(DEPTHS)[-n:] for n in (1, 2, 3, 4)]
    assert plan[-1].trainable == {p.name for p in PLAIN}
    assert not any(p.apart for p in plan)


def test_only_so_many_stages():
    assert [stages(p) for p in Gradual(stages=1).plan(PLAIN)] == [[HEAD], ["layer2", HEAD]]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"epochs": 0}, "policy.epochs to be at least 1"), ({"stages": 0}, "policy.stages to be at least 1")],
)
def test_out_of_range(options, words):
    with pytest.raises(PolicyError, match=words):
        Gradual(**options)


def test_more_stages_than_there_are():
    with pytest.raises(PolicyError, match="at most 3"):
        Gradual(stages=4).plan(PLAIN)


def test_with_a_patience_all_but_the_last_wait_for_a_plateau():
    plan = Gradual(epochs=5, patience=2, min_delta=0.1).plan(PLAIN)
    assert [phase.plateau for phase in plan] == [Plateau(2, 0.1)] * (len(plan) - 1) + [None]

import pytest
from networks import DEPTHS, PLAIN

from tunesmith.contract.parameters import HEAD, Plateau
from tunesmith.errors import PolicyError
from tunesmith.policy.chain import Chain


def test_the_head_then_each_stage_alone_then_all():
    plan = Chain(epochs=2).plan(PLAIN)
    assert [p.first_epoch for p in plan] == [0, 2, 4, 6, 8]
    stages = [{name.partition(".")[0] for name in phase.trainable} for phase in plan]
    assert stages == [{HEAD}, {"stem"}, {"layer1"}, {"layer2"}, set(DEPTHS)]


def test_out_of_range():
    with pytest.raises(PolicyError, match=r"policy.epochs to be at least 1"):
        Chain(0)


def test_with_a_patience_all_but_the_last_wait_for_a_plateau():
    plan = Chain(epochs=5, patience=2, min_delta=0.1).plan(PLAIN)
    assert [phase.plateau for phase in plan] == [Plateau(2, 0.1)] * (len(plan) - 1) + [None]

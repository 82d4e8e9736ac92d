import pytest

from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.errors import PolicyError
from tunesmith.policy.surgical import Surgical

PARAMETERS = [Parameter(f"{s}.weight", s, d, False, False, 2, 8) for d, s in enumerate(("stem", "layer1", HEAD))]
GRADIENTS = {"stem": 0.3, "layer1": 0.7}


def trains(policy):
    (phase,) = policy.plan(PARAMETERS)
    return {name.partition(".")[0] for name in phase.trainable}


def test_the_stages_of_the_largest_relative_gradient_are_chosen():
    assert Surgical(stages=1).choose(GRADIENTS) == ["layer1"]
    assert Surgical(stages=2).choose(GRADIENTS) == ["layer1", "stem"]


def test_the_chosen_train_with_the_head_and_everything_before_a_choice():
    assert trains(Surgical(chosen=["layer1"])) == {"layer1", HEAD}
    assert trains(Surgical()) == {"stem", "layer1", HEAD}


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(PolicyError, match="at least 1"):
        Surgical(stages=0)
    with pytest.raises(PolicyError, match="at most 2"):
        Surgical(stages=3).choose(GRADIENTS)
    with pytest.raises(PolicyError, match=r"'layer2'. Did you mean 'layer1'"):
        Surgical(chosen=["layer2"]).plan(PARAMETERS)

from itertools import pairwise

import pytest

from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.errors import PolicyError
from tunesmith.rates.layer_decay import LayerDecay


def make_parameters(stages):
    return [Parameter(f"p{d}", HEAD if d == stages else f"s{d}", d, False, False, 2, 4) for d in range(stages + 1)]


def test_multipliers_fall_from_the_head_to_the_stem():
    plan = LayerDecay(decay=0.5).plan(make_parameters(3))
    assert [plan[f"p{d}"].multiplier for d in range(4)] == [0.125, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("decay", [0.01, 0.3, 0.65, 0.9, 0.999])
@pytest.mark.parametrize("stages", [1, 5, 12, 48])
def test_strictly_monotone_in_depth_and_by_one_factor(decay, stages):
    plan = LayerDecay(decay).plan(make_parameters(stages))
    multipliers = [plan[f"p{d}"].multiplier for d in range(stages + 1)]
    assert multipliers[-1] == 1.0
    assert all(a < b for a, b in pairwise(multipliers))
    assert all(a / b == pytest.approx(decay) for a, b in pairwise(multipliers))


def test_no_effect_is_an_error():
    with pytest.raises(PolicyError, match=r"got 1, which has no effect: use rates=uniform"):
        LayerDecay(1.0)
    with pytest.raises(PolicyError, match=r"several depths.*no effect"):
        LayerDecay(0.8).plan(make_parameters(3)[:1])


def test_rates_that_vanish_are_an_error():
    with pytest.raises(PolicyError, match=r"rise with depth.*larger rates.decay"):
        LayerDecay(1e-200).plan(make_parameters(4))


@pytest.mark.parametrize("decay", [0, -0.5, 1.2, float("nan")])
def test_out_of_range(decay):
    with pytest.raises(PolicyError, match=r"between 0 and 1"):
        LayerDecay(decay)

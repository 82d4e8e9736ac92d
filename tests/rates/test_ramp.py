from itertools import pairwise

import pytest

from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.errors import PolicyError
from tunesmith.rates.ramp import Ramp

PARAMETERS = [Parameter(f"p{d}", HEAD if d == 3 else f"s{d}", d, False, False, 2, 4) for d in range(4)]


def shares(step, **options):
    plan = Ramp(**options).plan(PARAMETERS)
    return [plan[f"p{d}"].multiplier * plan[f"p{d}"].gate(step, 100, None) for d in range(4)]


def test_it_begins_as_layer_decay_and_ends_as_one_rate():
    assert shares(0, decay=0.5, over=0.4) == pytest.approx([0.125, 0.25, 0.5, 1.0])
    assert shares(20, decay=0.5, over=0.4) == pytest.approx([0.5**1.5, 0.5, 0.5**0.5, 1.0])
    assert shares(40, decay=0.5, over=0.4) == shares(99, decay=0.5, over=0.4) == [1.0] * 4


@pytest.mark.parametrize("step", range(0, 50, 7))
def test_strictly_monotone_in_depth_by_one_factor_until_it_has_relaxed(step):
    seen = shares(step, decay=0.3, over=0.5)
    assert all(a < b for a, b in pairwise(seen))
    assert len({round(a / b, 9) for a, b in pairwise(seen)}) == 1


def test_the_bounds_of_the_share():
    assert shares(50, decay=0.25, over=1) == pytest.approx([0.125, 0.25, 0.5, 1.0])
    assert shares(99, decay=0.25, over=1)[0] < 1.0
    assert shares(1, over=0.01) == [1.0] * 4
    assert Ramp().over == 0.5 and Ramp().decay == 0.5


def test_the_other_options_are_those_of_all_rates():
    (rate,) = {Ramp(thaw_warmup=2, decay_norm_and_bias=True).plan(PARAMETERS)["p0"]}
    assert (rate.multiplier, rate.start, rate.ramp, rate.warmup) == (1.0, 0.125, 0.5, 2.0)


@pytest.mark.parametrize("over", [0, 1.000001, 1.5, -1, float("nan")])
def test_out_of_range(over):
    with pytest.raises(PolicyError, match=r"rates.over to be above 0"):
        Ramp(over=over)

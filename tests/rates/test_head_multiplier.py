import pytest

from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.errors import PolicyError
from tunesmith.rates.head_multiplier import HeadMultiplier


def test_the_head_alone_is_multiplied():
    parameters = [Parameter(f"p{d}", HEAD if d == 3 else f"s{d}", d, False, False, 2, 4) for d in range(4)]
    plan = HeadMultiplier(multiplier=7).plan(parameters)
    assert [plan[f"p{d}"].multiplier for d in range(4)] == [1, 1, 1, 7]


@pytest.mark.parametrize("multiplier", [0, -1, float("inf"), float("nan")])
def test_out_of_range(multiplier):
    with pytest.raises(PolicyError, match=r"rates.multiplier.*above 0"):
        HeadMultiplier(multiplier)

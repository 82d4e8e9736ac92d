from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.rates.uniform import Uniform


def test_one_rate_for_all():
    parameters = [Parameter(f"p{d}", HEAD if d == 3 else f"s{d}", d, False, False, 2, 4) for d in range(4)]
    assert {r.multiplier for r in Uniform().plan(parameters).values()} == {1.0}

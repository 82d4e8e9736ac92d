import pytest

from tunesmith.contract.parameters import HEAD, Parameter, Rate
from tunesmith.errors import PolicyError
from tunesmith.rates.head_multiplier import HeadMultiplier
from tunesmith.rates.layer_decay import LayerDecay
from tunesmith.rates.ramp import Ramp
from tunesmith.rates.uniform import Uniform

KINDS = {
    "w": (False, False, 4),
    "n": (True, False, 1),
    "b": (False, True, 1),
    "scale": (False, False, 0),
    "n2": (True, False, 2),
}


def make_parameters(stages=4):
    return [
        Parameter(f"{depth}.{name}", HEAD if depth == stages else f"s{depth}", depth, *kind, numel=8)
        for depth in range(stages + 1)
        for name, kind in KINDS.items()
    ]


@pytest.mark.parametrize("rates", [Uniform, HeadMultiplier, LayerDecay, Ramp])
def test_every_parameter_has_one_rate_and_only_weights_decay(rates):
    parameters = make_parameters()
    plan = rates().plan(parameters)
    assert list(plan) == [p.name for p in parameters]
    assert {n for n, r in plan.items() if r.decay} == {p.name for p in parameters if p.name.endswith(".w")}
    assert all(r.multiplier > 0 for r in plan.values())


@pytest.mark.parametrize("rates", [Uniform, HeadMultiplier, LayerDecay, Ramp])
def test_all_decay_where_asked(rates):
    assert {r.decay for r in rates(decay_norm_and_bias=True).plan(make_parameters()).values()} == {1.0}


def test_no_parameters_no_rates():
    assert Uniform().plan([]) == {}


def test_rates_depend_on_no_other_parameter():
    parameters = make_parameters()
    assert Uniform().plan(parameters)["2.w"] == Uniform().plan(parameters[::-1])["2.w"] == Rate(1.0, 1.0)


@pytest.mark.parametrize("rates", [Uniform, HeadMultiplier, LayerDecay, Ramp])
def test_what_thaws_may_warm_up(rates):
    assert {r.warmup for r in rates(thaw_warmup=0.5).plan(make_parameters()).values()} == {0.5}
    assert {r.warmup for r in rates().plan(make_parameters()).values()} == {0.0}
    for epochs in (-1, -1e-9, float("inf"), float("nan")):
        with pytest.raises(PolicyError, match=f"thaw_warmup to be at least 0 epochs but got {epochs}"):
            rates(thaw_warmup=epochs)


@pytest.mark.parametrize(
    ("norm", "bias", "ndim", "embedding", "decays"),
    [
        (False, False, 2, False, True),
        (False, False, 1, False, False),
        (False, False, 0, False, False),
        (True, False, 2, False, False),
        (False, True, 2, False, False),
        (False, False, 3, True, False),
    ],
)
def test_what_weight_decay_leaves_out(norm, bias, ndim, embedding, decays):
    parameter = Parameter("x", "s0", 0, norm, bias, ndim, 8, embedding)
    assert Uniform().plan([parameter])["x"].decay == float(decays)
    assert Uniform(decay_norm_and_bias=True).plan([parameter])["x"].decay == 1.0


def test_the_depth_of_the_head_is_the_number_of_stages_with_and_without_a_head():
    parameters = make_parameters(3)
    whole, without = LayerDecay(0.5).plan(parameters), LayerDecay(0.5).plan([p for p in parameters if p.stage != HEAD])
    assert [whole[f"{depth}.w"].multiplier for depth in range(4)] == [0.125, 0.25, 0.5, 1.0]
    assert [without[f"{depth}.w"].multiplier for depth in range(3)] == [0.125, 0.25, 0.5]

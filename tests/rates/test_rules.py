import pytest

from tunesmith.contract.parameters import HEAD, Parameter, Rate
from tunesmith.errors import PolicyError
from tunesmith.rates.rules import Rules

PARAMETERS = [
    Parameter("backbone.net.stem.conv.weight", "stem", 0, False, False, 4, 8),
    Parameter("backbone.net.stem.bn.weight", "stem", 0, True, False, 1, 8),
    Parameter("backbone.net.layer1.conv.weight", "layer1", 1, False, False, 4, 8),
    Parameter("head.output.weight", HEAD, 2, False, False, 2, 8),
    Parameter("head.output.bias", HEAD, 2, False, True, 1, 8),
]


def plan(*rules, **options):
    return {name.partition(".")[2]: rate for name, rate in Rules(rules, **options).plan(PARAMETERS).items()}


def test_the_first_match_wins_and_what_none_matches_has_the_usual_rate():
    found = plan(
        {"match": r"^head\..*bias$", "multiplier": 20, "decay": 0.5},
        {"match": r"^head\.", "multiplier": 10.0},
        {"match": "stem", "multiplier": 0.1, "decay": 2},
    )
    assert found == {
        "net.stem.conv.weight": Rate(0.1, 2.0),
        "net.stem.bn.weight": Rate(0.1, 2.0),
        "net.layer1.conv.weight": Rate(1.0, 1.0),
        "output.weight": Rate(10.0, 1.0),
        "output.bias": Rate(20.0, 0.5),
    }


def test_norms_and_biases_decay_only_where_a_rule_or_the_option_says_so():
    rule = {"match": "stem", "multiplier": 2}
    assert plan(rule)["net.stem.bn.weight"] == Rate(2.0, 0.0)
    assert plan(rule, decay_norm_and_bias=True)["net.stem.bn.weight"] == Rate(2.0, 1.0)
    assert plan({"match": "conv", "decay": 0})["net.stem.conv.weight"] == Rate(1.0, 0.0)
    assert plan({"match": "conv"})["net.stem.conv.weight"] == Rate(1.0, 1.0)
    assert plan({"match": "bn", "decay": 1.0})["net.stem.bn.weight"] == Rate(1.0, 1.0)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            [{"match": "layer9"}],
            r"a parameter but 'layer9' matches none. Stages here: stem, layer1, head",
        ),
        ([{"match": "head.output.weigth"}], r"Did you mean 'head.output.weight'"),
        ([{"match": "head"}, {"match": "output"}], r"rules\[1\] to apply .*'output'.*move it up"),
    ],
)
def test_a_rule_without_effect_is_refused(rules, words):
    with pytest.raises(PolicyError, match=words):
        plan(*rules)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("head", "mapping with 'match'"),
        ({"multiplier": 2}, "mapping with 'match'"),
        ({"match": "("}, r"regular expression but got '\('"),
        ({"match": "x", "multiplyer": 2}, "Did you mean 'multiplier'"),
        ({"match": "x", "multiplier": 0}, "multiplier to be a finite number above 0 but got 0"),
        ({"match": "x", "multiplier": "fast"}, "multiplier to be a finite number above 0 but got 'fast'"),
        ({"match": "x", "multiplier": True}, "got True"),
        ({"match": "x", "multiplier": -1}, "above 0 but got -1"),
        ({"match": "x", "multiplier": float("nan")}, "got nan"),
        ({"match": "x", "decay": True}, "decay to be a finite number of at least 0 but got True"),
        ({"match": 3}, "mapping with 'match'"),
        ("match", "mapping with 'match'"),
        ({"match": "x", "decay": -1}, "decay to be a finite number of at least 0 but got -1"),
        ({"match": "x", "decay": float("inf")}, "got inf"),
    ],
)
def test_malformed_rules_are_refused_before_a_model_is_there(rule, words):
    with pytest.raises(PolicyError, match=words):
        Rules([rule])


def test_the_smallest_numbers_that_are_taken():
    assert plan({"match": "stem", "multiplier": 1e-9, "decay": 0})["net.stem.conv.weight"] == Rate(1e-9, 0.0)
    assert plan({"match": "stem", "multiplier": 0.5}, thaw_warmup=2)["net.stem.conv.weight"] == Rate(
        0.5, 1.0, warmup=2.0
    )

import pytest
from networks import PARAMETERS, STAGES, names

from tunesmith.contract.parameters import HEAD
from tunesmith.errors import PolicyError
from tunesmith.policy.selector import parse, select


def selected(selector):
    return set(select(parse(selector), PARAMETERS))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("all", names(*STAGES, HEAD)),
        ("head", names(HEAD)),
        ("norm", {p.name for p in PARAMETERS if ".bn." in p.name}),
        ("bias", {p.name for p in PARAMETERS if p.name.endswith("bias")}),
        ("stage: 0", names("stem")),
        ("stage:-1", names("blocks.3")),
        ("stage: layer1", names("layer1")),
        ("stage: blocks.3", names("blocks.3")),
        ("stage: -2:", names("layer2", "blocks.3")),
        ("stage: 2:", names("layer2", "blocks.3")),
        ("stage: :2", names("stem", "layer1")),
        ("stage: 1:3", names("layer1", "layer2")),
        ("stage: :", names(*STAGES)),
        ({"stage": "-2:"}, names("layer2", "blocks.3")),
        ({"stage": 3}, names("blocks.3")),
        (r"re: layer[12]\.conv", {"backbone.net.layer1.conv.weight", "backbone.net.layer2.conv.weight"}),
        ({"re": r"^head\.output\.(?:weight)$"}, {"head.output.weight"}),
    ],
)
def test_selectors(selector, expected):
    assert selected(selector) == expected


def test_every_slice_is_pythons():
    for begin in range(-4, 5):
        for end in range(-4, 5):
            expected = names(*STAGES[begin:end])
            if expected:
                assert selected(f"stage: {begin}:{end}") == expected
            else:
                with pytest.raises(PolicyError, match=r"match a parameter but got none"):
                    selected(f"stage: {begin}:{end}")


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("heads", ["'heads'", "Did you mean 'head'"]),
        ("stge: 1", ["Did you mean 'stage: …'"]),
        ("head: 3", ["'head: 3'"]),
        ("stage", ["Did you mean 'stage: …'"]),
        ("stage: layr1", ["Did you mean 'layer1' or 'layer2'"]),
        ("stage: 1.5", ["'1.5'", "layer1"]),
        ("stage: 4", ["stage: 4", "4 stages", "stem, layer1, layer2, blocks.3"]),
        ("stage: -5:", ["stage: -5:", "4 stages"]),
        ("stage: 4:", ["match a parameter but got none"]),
        ("re: layer9", ["re: layer9", "got none"]),
        ("re: (", ["regular expression", "'('"]),
        (3, ["selector", "3"]),
        ({"stage": 1, "re": "x"}, ["selector"]),
        ("", ["selector"]),
    ],
)
def test_selectors_that_mean_nothing_are_refused(selector, words):
    with pytest.raises(PolicyError) as caught:
        selected(selector)
    assert all(w in str(caught.value) for w in words), str(caught.value)


def test_norm_of_a_model_without_norms_is_refused():
    plain = [p for p in PARAMETERS if not p.norm]
    with pytest.raises(PolicyError, match=r"'norm' to match a parameter but got none. Stages here: stem, layer1"):
        select(parse("norm"), plain)

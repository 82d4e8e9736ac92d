import pytest
from networks import PARAMETERS, PLAIN, STAGES, names

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


def test_spaces_around_words_mean_nothing():
    for selector, same in ((" head ", "head"), ("stage :  -1 ", "stage: -1"), ({"stage": 1}, "stage: 1")):
        assert parse(selector) == parse(same)
    assert (parse("head"), parse("stage: 1:2")) == (("head", ""), ("stage", "1:2"))


def test_stages_are_counted_with_and_without_a_head_and_in_whatever_order():
    without = [p for p in PARAMETERS if p.stage != HEAD]
    for parameters in (without, without[::-1], PARAMETERS[::-1]):
        assert set(select(parse("stage: -1"), parameters)) == names("blocks.3")
        assert set(select(parse("stage: 3:4"), parameters)) == names("blocks.3")
        with pytest.raises(PolicyError, match=r"4 stages of the backbone, which are stem, layer1, layer2, blocks\.3"):
            select(parse("stage: 4"), parameters)
    with pytest.raises(PolicyError, match="within the 0 stages"):
        select(parse("stage: 0"), [])
    assert select(parse("head"), without) == []


def test_a_stage_without_parameters_is_counted_but_cannot_be_meant():
    assert set(select(parse("stage: 2:"), PLAIN)) == {
        f"{s}.{leaf}" for s in ("layer1", "layer2") for leaf in ("weight", "bias")
    }
    with pytest.raises(PolicyError, match="'stage: 1' to match a parameter but got none"):
        select(parse("stage: 1"), PLAIN)


def test_the_order_is_the_parameters():
    assert select(parse("all"), PARAMETERS) == [p.name for p in PARAMETERS]
    assert select(parse("re: conv"), PARAMETERS[::-1]) == [p.name for p in PARAMETERS[::-1] if "conv" in p.name]


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ("haed", "got 'haed'. Did you mean 'head'?"),
        ("stge: 1", "got 'stge: 1'. Did you mean 'stage: …' or"),
        ("re: head.output.weihgt", "Did you mean 'head.output.weight' or"),
        ("re: zzz", "Stages here: stem, layer1, layer2, blocks.3, head."),
        ("stage: -4:-5", "to lie within the 4 stages"),
        ("stage: 0:5", "to lie within the 4 stages"),
        ("stage: a:b", "to name a stage, an index or a slice but got 'a:b'"),
    ],
)
def test_what_was_meant_is_guessed(selector, said):
    with pytest.raises(PolicyError) as caught:
        selected(selector)
    assert said in str(caught.value)

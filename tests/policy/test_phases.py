import pytest
from omegaconf import OmegaConf

from tunesmith.errors import PolicyError
from tunesmith.parameters import HEAD, Parameter
from tunesmith.policy.phases import Phases

STAGES = ("stem", "layer1", "layer2", "blocks.3")


def make_parameters():
    found = []
    for depth, stage in enumerate(STAGES):
        for name, norm, bias, ndim in [
            ("conv.weight", False, False, 4),
            ("bn.weight", True, False, 1),
            ("bn.bias", True, True, 1),
        ]:
            found.append(Parameter(f"backbone.net.{stage}.{name}", stage, depth, norm, bias, ndim, 8))
    for name, bias, ndim in [("output.weight", False, 2), ("output.bias", True, 1)]:
        found.append(Parameter(f"head.{name}", HEAD, len(STAGES), False, bias, ndim, 8))
    return found


PARAMETERS = make_parameters()


def names(*stages):
    return {p.name for p in PARAMETERS if p.stage in stages}


def train(*selectors):
    (phase,) = Phases([{"train": list(selectors)}]).plan(PARAMETERS)
    assert phase.first_epoch == 0
    return set(phase.trainable)


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
    assert train(selector) == expected


def test_selectors_add_up():
    assert train("head", "stage: -1", "norm") == train("head") | train("stage: -1") | train("norm")


def test_every_slice_is_pythons():
    for begin in range(-4, 5):
        for end in range(-4, 5):
            expected = names(*STAGES[begin:end])
            if expected:
                assert train(f"stage: {begin}:{end}") == expected
            else:
                with pytest.raises(PolicyError, match=r"match a parameter but got none"):
                    train(f"stage: {begin}:{end}")


def test_phases_follow_each_other():
    policy = Phases(
        [{"train": ["head"], "epochs": 2}, {"train": ["head", "stage: -1"], "epochs": 3}, {"train": ["all"]}]
    )
    plan = policy.plan(PARAMETERS)
    assert [p.first_epoch for p in plan] == [0, 2, 5]
    assert [len(p.trainable) for p in plan] == [2, 5, len(PARAMETERS)]
    assert policy.plan(PARAMETERS) == plan


def test_a_config_node_means_the_same_as_plain_containers():
    phases = [{"train": ["head", {"stage": "-1:"}], "epochs": 1}, {"train": ["all"], "epochs": None}]
    assert Phases(OmegaConf.create(phases)).plan(PARAMETERS) == Phases(phases).plan(PARAMETERS)


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
        train("head", selector)
    assert all(w in str(caught.value) for w in words), str(caught.value)


def test_norm_of_a_model_without_norms_is_refused():
    plain = [p for p in PARAMETERS if not p.norm]
    with pytest.raises(PolicyError, match=r"'norm' to match a parameter but got none. Stages here: stem, layer1"):
        Phases([{"train": ["norm"]}]).plan(plain)


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ([], "at least one phase"),
        ([{"train": ["head"], "epochs": 3}], "last phase to have no 'epochs' but got 3"),
        ([{"train": ["head"]}, {"train": ["all"]}], r"phases\[0\].epochs.*got None"),
        ([{"train": ["head"], "epochs": 0}, {"train": ["all"]}], r"got 0"),
        ([{"train": ["head"], "epochs": -1}, {"train": ["all"]}], r"got -1"),
        ([{"train": ["head"], "epochs": 1.5}, {"train": ["all"]}], r"got 1.5"),
        ([{"train": ["head"], "epochs": True}, {"train": ["all"]}], r"got True"),
        ([{"train": ["head"], "epoch": 3}], "got 'epoch'. Did you mean 'epochs'"),
        ([{"epochs": None}], "list of selectors"),
        ([{"train": "head"}], "list of selectors"),
        ([{"train": []}], "list of selectors"),
        (["head"], "mapping with 'train'"),
    ],
)
def test_malformed_phases_are_refused_before_a_model_is_there(phases, words):
    with pytest.raises(PolicyError, match=words):
        Phases(phases)


@pytest.mark.parametrize("stages", [0, -1])
def test_the_last_no_stages_would_be_all_of_them(stages):
    with pytest.raises(PolicyError, match=r"policy.stages to be at least 1.*policy=linear_probe"):
        Phases([{"train": ["head", f"stage: -{stages}:"]}], stages=stages)

"""What every backbone promises, held for a small one of each family."""

import copy
from collections import Counter
from functools import cache

import pytest
import torch
from torch import nn

from tunesmith.backbone.base import Backbone
from tunesmith.backbone.timm import Timm
from tunesmith.backbone.tiny import Tiny
from tunesmith.backbone.torchvision import Torchvision
from tunesmith.contracts import Features, Preprocess, Stage, Weights
from tunesmith.errors import ConfigError

FAMILIES = {
    "tiny": lambda: Tiny(width=4),
    "torchvision/resnet18": lambda: Torchvision("resnet18", weights=None),
    "torchvision/resnet50": lambda: Torchvision("resnet50", weights=None),
    "timm/resnet18": lambda: Timm("resnet18", weights=None),
    "timm/resnet26d": lambda: Timm("resnet26d", weights=None),  # a deep stem, average pools in the shortcuts
    "timm/resnetrs50": lambda: Timm("resnetrs50", weights=None),  # a stem pool with parameters, squeeze and excitation
    "timm/tf_efficientnet_lite0": lambda: Timm("tf_efficientnet_lite0", weights=None),
    "timm/mobilenetv2_050": lambda: Timm("mobilenetv2_050", weights=None),
    "timm/mobilenetv1_100": lambda: Timm("mobilenetv1_100", weights=None),  # no head convolution
    "timm/mixnet_s": lambda: Timm("mixnet_s", weights=None),  # several kernel sizes a block
}


@cache
def family(name: str) -> Backbone:
    torch.manual_seed(0)
    backbone = FAMILIES[name]()
    # BatchNorm gets the statistics of some pictures: with those of a new module, deep activations die out.
    for norm in (m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.9
    with torch.no_grad():
        backbone(torch.randn(8, 3, 64, 64))
    return backbone.eval()


@pytest.fixture
def pictures():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_own_every_parameter_and_buffer_once(name):
    backbone = family(name)
    names = [n for n, _ in backbone.net.named_parameters()] + [n for n, _ in backbone.net.named_buffers()]
    owners = Counter(n for n in names for s in backbone.stages for m in s.members if n.startswith(m + "."))
    assert owners == dict.fromkeys(names, 1)
    assert len({s.name for s in backbone.stages}) == len(backbone.stages)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_stage_has_parameters(name):
    for stage in family(name).stages:
        assert any(list(family(name).net.get_submodule(m).parameters()) for m in stage.members), stage


@pytest.mark.parametrize("name", FAMILIES)
def test_state_dict_is_the_nets_own(name):
    backbone = family(name)
    assert list(backbone.state_dict()) == [f"net.{n}" for n in backbone.net.state_dict()]
    assert len(list(backbone.parameters())) == len(list(backbone.net.parameters()))


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_cut_anywhere_equals_the_whole(name, pictures):
    backbone = family(name)
    whole = backbone(pictures)
    assert whole.pooled.shape == (2, backbone.feature_dim)
    assert whole.map.shape[0] == 2
    assert whole.pooled.std() > 0
    for k in range(len(backbone.stages) + 1):
        boundary = backbone.prefix(k)(pictures)
        kept = boundary.clone()
        rest = backbone.suffix(k)(boundary)
        assert torch.equal(rest.pooled, whole.pooled)
        assert torch.equal(rest.map, whole.map)
        assert torch.equal(boundary, kept), "a cached boundary must not be changed in place"
        assert torch.equal(backbone(pictures, frozen=k).pooled, whole.pooled)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_gradient_reaches_frozen_stages(name, pictures):
    backbone = family(name)
    for frozen in {0, 1, len(backbone.stages) - 1}:
        backbone.zero_grad()
        backbone(pictures, frozen=frozen).pooled.square().sum().backward()
        for depth, stage in enumerate(backbone.stages):
            grads = [p.grad for m in stage.members for p in backbone.net.get_submodule(m).parameters()]
            if depth < frozen:
                assert all(g is None for g in grads)
            else:
                assert all(g is not None for g in grads)
                assert any(g.abs().sum() > 0 for g in grads)
    assert not backbone(pictures, frozen=len(backbone.stages)).pooled.requires_grad


@pytest.mark.parametrize("k", [-1, 4])
def test_a_cut_outside_the_stages_is_refused(k):
    for cut in (family("tiny").prefix, family("tiny").suffix):
        with pytest.raises(ValueError, match=r"between 0 and 3"):
            cut(k)


def test_a_copy_runs_on_its_own_weights(pictures):
    """An average of the weights copies the model: the copy must not run on the original's stages."""
    original = family("tiny")
    other = copy.deepcopy(original)
    nn.init.zeros_(other.net.stage1[0].weight)
    assert not torch.equal(other(pictures).pooled, original(pictures).pooled)


class Plugin(Backbone):
    def __init__(self, *members, size=32):
        net = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.BatchNorm1d(2)})
        if "tied" in members:
            net["tied"] = nn.Linear(2, 2)
            net["tied"].weight = net["a"].weight
        stages = [Stage(m, (m,)) for m in members]
        super().__init__(net, stages, 2, Preprocess(size=size), Weights())

    def pool(self, x):
        return Features(x)


def test_stages_that_cover_the_net_are_taken():
    assert Plugin("a", "b")(torch.zeros(3, 2)).pooled.shape == (3, 2)


@pytest.mark.parametrize(
    ("members", "named"),
    [(("a",), "b.running_mean"), (("a", "b", "a"), "a.weight"), (("a", "b", "tied"), "a.weight")],
)
def test_left_and_doubled_tensors_are_named(members, named):
    with pytest.raises(ValueError, match=r"exactly once") as caught:
        Plugin(*members)
    assert named in str(caught.value)


def test_a_picture_needs_a_pixel():
    with pytest.raises(ConfigError, match=r"at least 1 pixel but got 0"):
        Plugin("a", "b", size=0)

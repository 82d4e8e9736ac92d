"""What every backbone promises, held for a small one of each family: a line in tests/families.yaml runs all of this."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

from tunesmith.backbone.base import Backbone
from tunesmith.backbone.tiny import Tiny
from tunesmith.config.build import accepts, build
from tunesmith.contract.features import Needs, Stage
from tunesmith.contract.protocols import Weights
from tunesmith.contract.tree import map_tree
from tunesmith.errors import ConfigError
from tunesmith.modality.image import ImagePreprocess
from tunesmith.modality.text import TextPreprocess
from tunesmith.task.optimization.freeze import apply_trainable, freeze_modes

ROOT = Path(__file__).parents[2]
BUILT = {}


def make(family, **overrides):
    option, small = family
    node = OmegaConf.load(ROOT / "conf" / "backbone" / f"{option}.yaml")
    torch.manual_seed(0)
    node.update({"weights": None} if "weights" in node else {})
    return build(OmegaConf.merge(node, small, overrides))


def small(family):
    """One a family, shared by the tests, in eval mode, with BatchNorm statistics of a few images."""
    key = str(family)
    if key not in BUILT:
        backbone = make(family)
        # With the statistics of a new module, deep activations die out.
        for norm in (m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.momentum = 0.9
        with torch.no_grad():
            backbone(images_for(backbone, 8))
        BUILT[key] = backbone
    return BUILT[key].eval()


def images_for(backbone, count=2):
    generator = torch.Generator().manual_seed(1)
    if isinstance(backbone.preprocess, TextPreprocess):  # the second text is padded
        mask = (torch.arange(7) < torch.tensor([7, 5]).repeat(count)[:count, None]).long()
        return {"input_ids": torch.randint(5, 16, (count, 7), generator=generator) * mask, "attention_mask": mask}
    size, channels = backbone.preprocess.size, backbone.preprocess.channels
    return torch.randn(count, channels, size, size, generator=generator)


def parts(x):
    """The tensors of an input, or of what flows between stages, by name."""
    return x if isinstance(x, dict) else {"": x}


def parameters_of(backbone, stage):
    members = backbone.members(stage).values()
    return [p for m in members for p in (m.parameters() if isinstance(m, nn.Module) else [m])]


def same(one, other):
    pairs = zip((one.pooled, one.tokens), (other.pooled, other.tokens), strict=True)
    return all(torch.equal(a, b) if a is not None else b is None for a, b in pairs)


def test_every_option_has_a_family():
    listed = yaml.safe_load((ROOT / "tests" / "families.yaml").read_text())
    assert {name.partition("/")[0] for name in listed} == {p.stem for p in (ROOT / "conf" / "backbone").glob("*.yaml")}


def test_stages_own_every_parameter_and_buffer_once(family):
    backbone = small(family)
    names = [n for n, _ in backbone.net.named_parameters()] + [n for n, _ in backbone.net.named_buffers()]
    owners = Counter(n for n in names for s in backbone.stages for m in s.members if n == m or n.startswith(m + "."))
    assert owners == dict.fromkeys(names, 1)
    assert len({s.name for s in backbone.stages}) == len(backbone.stages)


def test_every_stage_has_parameters(family):
    for stage in small(family).stages:
        assert parameters_of(small(family), stage), stage


def test_state_dict_is_the_nets_own(family):
    backbone = small(family)
    assert list(backbone.state_dict()) == [f"net.{n}" for n in backbone.net.state_dict()]
    assert len(list(backbone.parameters())) == len(list(backbone.net.parameters()))


@torch.no_grad()
def test_cut_anywhere_equals_the_whole(family):
    backbone = small(family)
    images = images_for(backbone)
    needs = Needs(pooled=True, tokens=True)
    whole = backbone(images, needs=needs)
    assert whole.pooled.shape == (2, backbone.feature_dim)
    assert whole.pooled.std() > 0
    for k in range(len(backbone.stages) + 1):
        boundary = backbone.prefix(k)(images)
        kept = {name: tensor.clone() for name, tensor in parts(boundary).items()}
        assert same(backbone.suffix(k, needs)(boundary), whole)
        unchanged = [torch.equal(tensor, kept[name]) for name, tensor in parts(boundary).items()]
        assert all(unchanged), "a cached boundary must not be changed in place"
        assert not k or same(backbone(backbone.activations(images, k), needs=needs), whole)
        assert same(backbone(images, frozen=k, needs=needs), whole)


@torch.no_grad()
def test_maps_are_the_stages_outputs_with_channels_and_strides(family):
    """Bit for bit, also from what is kept in front of each cut; nothing else is there."""
    backbone = small(family)
    images, info = images_for(backbone), backbone.map_info()
    assert bool(info) == isinstance(images, torch.Tensor)
    needs = Needs(maps=tuple(range(len(info))))
    features = backbone(images, needs=needs)
    assert features.pooled is None and features.tokens is None and len(features.maps) == len(info)
    stages = [i for i, _ in backbone._maps()]
    for number, found, told in zip(stages, features.maps, info, strict=True):
        alone = backbone.map_of(backbone.stages[number], backbone.prefix(number + 1)(images))
        assert torch.equal(found, alone), "a map must not be changed in place by later stages"
        assert found.shape[:2] == (2, told.channels) and found.shape[3] * told.stride == images.shape[3]
    for k in range(1, len(backbone.stages) + 1):
        again = backbone(backbone.activations(images, k, needs), k, needs)
        assert all(torch.equal(one, other) for one, other in zip(again.maps, features.maps, strict=True))
    last = backbone(images, needs=Needs(maps=(-1, 99))).maps
    assert len(last) == bool(info) and all(torch.equal(found, features.maps[-1]) for found in last)


@torch.no_grad()
def test_tokens_are_as_wide_as_the_pooled_features(family):
    """A head that looks at tokens is built with the width of the pooled features."""
    backbone = small(family)
    features = backbone(images_for(backbone), needs=Needs(tokens=True))
    assert features.pooled is None
    if features.tokens is not None:
        assert features.tokens.shape[::2] == (2, backbone.feature_dim) and features.tokens.ndim == 3


@torch.no_grad()
def test_levels_are_the_pooled_stages(family):
    backbone = small(family)
    images = images_for(backbone)
    needs = Needs(pooled=True, stage_features=True)
    features = backbone(images, needs=needs)
    assert same(features, backbone(images))
    assert len(features.stage_features) == len(backbone.stages)
    kept = backbone.activations(images, len(backbone.stages), needs)
    from_file = backbone(dict(reversed(kept.items())), needs=needs)  # a file has an order of its own
    assert all(
        torch.equal(one, other) for one, other in zip(from_file.stage_features, features.stage_features, strict=True)
    )
    assert backbone.stage_dims() == tuple(pooled.shape[1] for pooled in features.stage_features)
    # A level pools space away: channels last or first, its width is that of the layer that made it.
    cuts = [backbone.prefix(k + 1)(images) for k in range(len(backbone.stages))]
    sides = {side for cut in cuts for tensor in parts(cut).values() for side in tensor.shape[1:]}
    assert all(level.shape[0] == 2 and level.ndim == 2 and level.shape[1] in sides for level in features.stage_features)


def test_no_gradient_reaches_frozen_stages(family):
    backbone = small(family)
    images = images_for(backbone)
    for frozen in {0, 1, len(backbone.stages) - 1}:
        backbone.zero_grad()
        backbone(images, frozen=frozen).pooled.square().sum().backward()
        for depth, stage in enumerate(backbone.stages):
            grads = [p.grad for p in parameters_of(backbone, stage)]
            if depth < frozen:
                assert all(g is None for g in grads)
            else:
                assert all(g is not None for g in grads)
                assert any(g.abs().sum() > 0 for g in grads)
    assert not backbone(images, frozen=len(backbone.stages)).pooled.requires_grad


def test_frozen_stages_stay_in_eval_mode_and_keep_every_bit(family):
    """BatchNorm, dropout and stochastic depth: a frozen half gives the same output twice, and none of it changes."""
    backbone = make(family)
    half = len(backbone.stages) // 2
    trainable = {id(p) for s in backbone.stages[half:] for p in parameters_of(backbone, s)}
    apply_trainable(backbone, {n for n, p in backbone.named_parameters() if id(p) in trainable})
    backbone.train()
    for stage in backbone.stages:
        freeze_modes([m for m in backbone.members(stage).values() if isinstance(m, nn.Module)])
    before = {n: t.clone() for n, t in backbone.state_dict().items()}
    images = images_for(backbone)
    once, again = (parts(backbone.prefix(half)(images)) for _ in range(2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in once.items())
    backbone(images, frozen=half)
    frozen = [m for s in backbone.stages[:half] for m in s.members]
    changed = [n.removeprefix("net.") for n, t in backbone.state_dict().items() if not torch.equal(t, before[n])]
    assert not [n for n in changed if any(n == m or n.startswith(m + ".") for m in frozen)]
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    assert bool(changed) == bool(norms)  # those that train do follow their batches


@torch.no_grad()
def test_memory_order_changes_no_number(family):
    backbone = make(family).eval()
    images = images_for(backbone)
    if isinstance(images, dict):  # tokens have no such order
        return
    before = backbone(images).pooled
    after = backbone.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last)).pooled
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-4 * before.abs().max())


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 5])
def test_other_channels_are_taken(family, channels):
    option, _ = family
    if not accepts(OmegaConf.load(ROOT / "conf" / "backbone" / f"{option}.yaml"), "in_channels"):
        with pytest.raises(TypeError, match="in_channels"):
            make(family, in_channels=channels)
        return
    backbone = make(family, in_channels=channels).eval()
    assert backbone.preprocess.channels == channels == len(backbone.preprocess.std)
    assert backbone(images_for(backbone)).pooled.shape == (2, backbone.feature_dim)


@pytest.mark.parametrize("k", [-1, 4])
def test_a_cut_outside_the_stages_is_refused(k):
    for cut in (Tiny().prefix, Tiny().suffix):
        with pytest.raises(ValueError, match=r"between 0 and 3"):
            cut(k)


def test_a_copy_runs_on_its_own_weights():
    """An average of the weights copies the model: the copy must not run on the original's stages."""
    original, images = Tiny(), torch.randn(2, 3, 32, 32)
    other = copy.deepcopy(original)
    nn.init.zeros_(other.net.stage1[0].weight)
    assert not torch.equal(other(images).pooled, original(images).pooled)


class Plugin(Backbone):
    def __init__(self, *members, size=32):
        net = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.BatchNorm1d(2)})
        if "tied" in members:
            net["tied"] = nn.Linear(2, 2)
            net["tied"].weight = net["a"].weight
        stages = [Stage(m, (m,)) for m in members]
        super().__init__(net, stages, 2, ImagePreprocess(size=size), Weights())

    def pool(self, x):
        return x


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


def test_an_image_needs_a_pixel():
    with pytest.raises(ConfigError, match=r"at least 1 pixel but got 0"):
        Plugin("a", "b", size=0)


class Pairs(Backbone):
    """Two images at a time, each under a name of its own, through the same stages."""

    def __init__(self):
        net = nn.ModuleDict({"a": nn.Conv2d(3, 4, 3), "b": nn.Conv2d(4, 5, 3)})
        super().__init__(net, [Stage(name, (name,)) for name in net], 10, ImagePreprocess(size=8), Weights())

    def run_stage(self, stage, x):
        return map_tree(self.net[stage.name], x)

    def pool(self, x):
        return torch.cat([x[side]["image"].mean((2, 3)) for side in ("left", "right")], dim=1)

    def blank(self, count=1):
        return {side: {"image": torch.zeros(count, 3, 8, 8)} for side in ("left", "right")}


@torch.no_grad()
def test_inputs_may_nest_one_level():
    backbone = Pairs()
    x = {side: {"image": torch.randn(2, 3, 8, 8)} for side in ("left", "right")}
    whole = backbone(x)
    assert whole.pooled.shape == (2, 10) and backbone.map_info() == ()
    for k, name in ((1, "a"), (2, "b")):
        kept = backbone.activations(x, k)
        assert kept.keys() == {f"{name}/left/image", f"{name}/right/image"}
        assert same(backbone(kept, frozen=k), whole) and same(backbone.suffix(k)(backbone.prefix(k)(x)), whole)

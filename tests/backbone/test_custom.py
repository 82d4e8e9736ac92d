import pytest
import torch
from torch import nn

from tunesmith.backbone.custom import Custom
from tunesmith.config.build import build
from tunesmith.config.check.check import check
from tunesmith.config.compose import compose
from tunesmith.contract.features import Needs
from tunesmith.errors import ConfigError, WeightsError

STAGES = {"stem": ["conv1"], "body": ["layer1", "layer2"]}


class Net(nn.Module):
    def __init__(self, between=False):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.layer1, self.layer2 = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 6, 3)
        self.between = between

    def forward(self, x):
        x = self.layer1(self.conv1(x))
        return self.layer2(x.relu() if self.between else x)


class Tokens(nn.Module):
    """Patches with a class token in front: what a vision transformer gives."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, stride=8)
        self.token = nn.Parameter(torch.ones(1, 1, 8))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.norm = Tokens(), nn.LayerNorm(8)

    def forward(self, x):
        return self.norm(self.embed(x))[:, 0]


def make(net=None, stages=STAGES, image_size=32, **options):
    return Custom(net or Net(), stages, image_size, **options)


@torch.no_grad()
def test_a_map_is_averaged():
    net = Net()
    backbone, images = make(net).eval(), torch.randn(2, 3, 32, 32)
    features = backbone(images, needs=Needs(pooled=True, maps=(-1,), stage_features=True))
    assert torch.equal(features.maps[0], net(images))
    assert torch.equal(features.pooled, net(images).mean((2, 3)))
    assert backbone.feature_dim == 6 and backbone.stage_dims() == (4, 6)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["auto", "class_token"])
def test_tokens_are_averaged_or_the_first_is_taken(pool):
    net, images = Wrapped(), torch.randn(2, 3, 32, 32)
    if pool == "auto":  # then it gives something else than its forward pass, which takes the class token
        with pytest.raises(ConfigError, match=r"differ by up to"):
            make(net, {"embed": ["embed"], "norm": ["norm"]}, pool=pool)
        return
    backbone = make(net, {"embed": ["embed"], "norm": ["norm"]}, pool=pool)
    assert torch.equal(backbone(images).pooled, net(images))
    assert backbone(images, needs=Needs(tokens=True)).tokens.shape == (2, 17, 8)


@torch.no_grad()
def test_vectors_stay_as_they_are():
    net, images = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5)), torch.randn(2, 3, 8, 8)
    backbone = make(net, {"all": ["0", "1"]}, image_size=8)
    assert torch.equal(backbone(images).pooled, net(images))


def test_a_container_without_a_forward_pass_is_taken():
    net = nn.ModuleDict({"a": nn.Conv2d(3, 4, 3), "b": nn.Conv2d(4, 5, 3)})
    assert make(net, {"a": ["a"], "b": ["b"]}).feature_dim == 5


def test_trying_changes_neither_mode_nor_statistics():
    net = Net()
    net.conv1[1].eval()
    before = {n: t.clone() for n, t in net.state_dict().items()}
    backbone = make(net)
    assert not net.conv1[1].training and net.conv1[0].training and backbone.training
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


@torch.no_grad()
def test_a_file_of_weights_is_loaded_and_checked(tmp_path):
    tensors = Net().state_dict()
    torch.save(tensors, tmp_path / "w.pth")
    backbone = make(weights=str(tmp_path / "w.pth"))
    assert all(torch.equal(t, tensors[n]) for n, t in backbone.net.state_dict().items())
    torch.save({n: t for n, t in tensors.items() if n != "layer2.bias"}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(layer2.bias\)"):
        make(weights=str(tmp_path / "w.pth"))


def tied():
    net = Net()
    net.layer2 = nn.Conv2d(4, 4, 3)
    net.layer2.weight = net.layer1.weight
    return net


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"net": Net(between=True)}, "to compute what the network's forward does, but the outputs differ"),
        ({"stages": {"stem": ["conv1"], "body": ["layer1"]}}, r"2 are in no stage \('layer2.weight', .*add 'layer2'"),
        ({"stages": {**STAGES, "more": ["layer1"]}}, r"more than one stage \('layer1.weight', 'layer1.bias'\)"),
        ({"net": tied(), "stages": {"a": ["conv1", "layer1"], "b": ["layer2"]}}, "more than one stage"),
        ({"stages": {"stem": ["conv1"], "body": ["layr1", "layer2"]}}, "got 'layr1'. Did you mean 'layer1'"),
        ({"stages": {"stem": ["zzz"]}}, "got 'zzz'. Valid here: conv1, layer1, layer2"),
        ({"stages": {"body": ["layer1", "layer2"], "stem": ["conv1"]}}, "stage 'body' to run one after another but"),
        ({"stages": {"a": ["conv1.0", "conv1.1"], "b": ["conv1.2"], "c": ["layer1", "layer2"]}}, "'b' has none"),
        ({"stages": {"stem": ["conv1"], "head": ["layer1", "layer2"]}}, "leave the name 'head' to the head"),
        (
            {"stages": {"pooled": ["conv1"], "stage_features.1": ["layer1", "layer2"]}},
            "than 'pooled', which is reserved for features",
        ),
        ({"stages": {}}, "at least one stage"),
        ({"mean": [0.5], "std": [0.5]}, "channels .backbone.mean"),
        ({"mean": [0.5]}, "got 3 and 1"),
        ({"pool": "class_token"}, "to give tokens"),
        ({"image_size": 0}, "at least 1 pixel but got 0"),
        ({"image_size": 6}, "stage 'body' to run"),
        ({"net": len}, "to be a torch.nn.Module but got builtin"),
    ],
)
def test_what_cannot_be_cut_is_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make(**options)


OWN = ["backbone=custom", "backbone.image_size=32", "backbone.stages={conv: [conv], norm: [bn]}"]
NET = ["backbone.net._target_=timm.layers.ConvNormAct", "+backbone.net.in_channels=3", "+backbone.net.out_channels=4"]


def test_a_class_is_named_on_the_command_line():
    cfg = compose("train", [*OWN, *NET])
    check(cfg)
    assert build(cfg.backbone).feature_dim == 4


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], "Expected backbone.net._target_ to be given"),
        ([*NET, "+backbone.net.in_chanels=3"], "Did you mean 'backbone.net.in_channels'"),
        ([*NET[:1]], "Expected backbone.net.in_channels to be given"),
        (["backbone.net._target_=timm.layers.ConvNormAkt"], "Did you mean 'ConvNormAct'"),
        ([*NET, "backbone.stages.conv=conv"], "Expected backbone.stages to be"),
        ([*NET, "backbone.pool=token"], "Did you mean 'class_token'"),
    ],
)
def test_mistakes_are_found_before_anything_is_built(overrides, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check(compose("train", [*OWN, *overrides]))

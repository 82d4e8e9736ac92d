import pytest
import timm
import torch
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet

from tunesmith.backbone import timm as adapter
from tunesmith.backbone.timm import Timm
from tunesmith.contracts import Preprocess
from tunesmith.errors import ConfigError, WeightsError


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["resnet18", "resnet26d", "tf_efficientnet_lite0", "mobilenetv2_050", "mobilenetv1_100"]
)
def test_features_are_the_librarys_own(name, tmp_path):
    torch.manual_seed(4)
    library = timm.create_model(name, pretrained=False).eval()
    torch.save(library.state_dict(), tmp_path / "saved.pth")
    backbone = Timm(name, weights=str(tmp_path / "saved.pth")).eval()
    pictures = torch.randn(2, 3, 64, 64)
    own = library.forward_head(library.forward_features(pictures), pre_logits=True)
    assert torch.equal(backbone(pictures).pooled, own)
    assert backbone.feature_dim == own.shape[1]
    assert len(backbone.weights.ignored) == 2


def test_stages_of_an_efficientnet():
    names = [s.name for s in Timm("tf_efficientnet_lite0", weights=None).stages]
    assert names == ["stem", *(f"blocks.{i}" for i in range(7)), "head_conv"]


def test_stages_of_a_resnet():
    names = [s.name for s in Timm("resnet18", weights=None).stages]
    assert names == ["stem", "layer1", "layer2", "layer3", "layer4"]


def test_a_model_that_ends_with_its_blocks_has_no_head_stage():
    assert Timm("mobilenetv1_100", weights=None).stages[-1].name == "blocks.4"


def test_preprocess_is_the_weights_own():
    half = (0.5, 0.5, 0.5)
    assert Timm("tf_efficientnet_lite0", weights=None).preprocess == Preprocess(224, "bicubic", half, half)
    imagenet = Preprocess(224, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert Timm("resnet26d", weights=None).preprocess == imagenet
    assert Timm("resnet26d", weights=None, image_size=96).preprocess.size == 96


def test_drop_path_reaches_the_model():
    def drops(backbone):
        return [m.drop_prob for m in backbone.net.modules() if type(m).__name__ == "DropPath" and m.drop_prob]

    assert not drops(Timm("resnet18", weights=None))
    assert drops(Timm("resnet18", weights=None, drop_path_rate=0.2))
    assert drops(Timm("tf_efficientnet_lite0", weights=None, drop_path_rate=0.2))
    with pytest.raises(ConfigError, match=r"drop_path_rate.*got 1.5"):
        Timm("resnet18", weights=None, drop_path_rate=1.5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tf_eficientnet_lite0", "Did you mean 'tf_efficientnet_lite0'"),
        ("resnet18.a1_in2k", "Did you mean 'resnet18.a1_in1k'"),
        ("convnext_tiny", "EfficientNet or ResNet families"),
        ("zzz", "timm.list_models"),
        ("hf-hub:somebody/something", "Expected backbone.name to be a model of timm"),
    ],
)
def test_names_that_do_not_fit_are_refused_at_once(name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Timm(name)


def test_the_supported_modules_hold_only_the_two_classes():
    for module in adapter.MODULES:
        for name in timm.list_models(module=module)[
            ::25
        ]:  # all of them take 30 s, and were seen to pass with timm 1.0.31
            with torch.device("meta"):
                net = timm.create_model(name, num_classes=0)
            assert isinstance(net, (EfficientNet, ResNet)), name
            assert adapter._stages(net)
            assert adapter._preprocess(net.pretrained_cfg).channels == 3


def test_pretrained_is_the_librarys_download(monkeypatch):
    create = timm.create_model
    torch.manual_seed(5)
    library = create("resnet18", pretrained=False)

    def download(name, pretrained, **options):
        return library if pretrained else create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", download)
    backbone = Timm("resnet18")
    assert torch.equal(backbone.net.conv1.weight, library.conv1.weight)
    assert (backbone.weights.source, backbone.weights.matched) == ("pretrained", 120)


def test_a_failed_download_says_what_to_do(monkeypatch):
    create = timm.create_model

    def download(name, pretrained, **options):
        if pretrained:
            raise ConnectionError("no route to host\nand a long story")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", download)
    with pytest.raises(WeightsError, match=r"\(no route to host\): connect to the network.*backbone.weights=<path>"):
        Timm("resnet18")

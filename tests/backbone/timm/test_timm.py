from contextlib import nullcontext
from pathlib import Path

import pytest
import timm
import torch
import yaml

from tunesmith.backbone.timm import weights
from tunesmith.backbone.timm.timm import Timm
from tunesmith.errors import ConfigError, WeightsError
from tunesmith.modality.image import ImagePreprocess

LISTED = yaml.safe_load((Path(__file__).parents[2] / "families.yaml").read_text())
SMALL = {o["name"]: o["image_size"] for family, o in LISTED.items() if family.startswith("timm/")}


def library_model(name, size, **options):
    sized = {"img_size": size, "dynamic_img_size": False} if Timm(name, weights=None)._family.sized else {}
    return timm.create_model(name, **sized, **options).eval()


@torch.no_grad()
@pytest.mark.parametrize(("name", "size"), SMALL.items())
def test_a_saved_state_dict_gives_the_librarys_own_features(name, size, tmp_path):
    torch.manual_seed(4)
    library = library_model(name, size)
    torch.save(library.state_dict(), tmp_path / "saved.pth")
    backbone = Timm(name, weights=str(tmp_path / "saved.pth"), image_size=size).eval()
    images = torch.randn(2, 3, size, size)
    own = library.forward_head(library.forward_features(images), pre_logits=True)
    assert torch.equal(backbone(images).pooled, own)
    assert backbone.feature_dim == own.shape[1]
    assert all("head" in n or "classifier" in n or "fc" in n for n in backbone.weights.ignored)
    assert not torch.equal(Timm(name, weights=None, image_size=size).eval()(images).pooled, own)


@pytest.mark.parametrize(
    ("name", "size"),
    [(n, SMALL[n]) for n in ("resnet18", "mobilenetv3_small_050", "regnetx_002", "test_convnext", "small_deit")],
)
def test_surplus_and_missing_tensors_are_refused_by_name(name, size, tmp_path):
    tensors = dict(Timm(name, weights=None, image_size=size).net.state_dict())
    lost = next(reversed([n for n in tensors if n.endswith("weight")]))
    del tensors[lost]
    torch.save({**tensors, "surplus.weight": torch.zeros(1)}, tmp_path / "saved.pth")
    with pytest.raises(WeightsError, match=rf"1 unknown \(surplus.weight\), 1 missing \({lost}\)"):
        Timm(name, weights=str(tmp_path / "saved.pth"), image_size=size)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("tf_efficientnet_lite0", ["stem", *(f"blocks.{i}" for i in range(7)), "head_conv"]),
        ("mobilenetv1_100", ["stem", *(f"blocks.{i}" for i in range(5))]),  # it ends with its blocks
        ("mobilenetv3_small_050", ["stem", *(f"blocks.{i}" for i in range(6)), "head_conv"]),
        ("resnet18", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("regnetx_002", ["stem", "s1", "s2", "s3", "s4"]),
        ("regnetz_005", ["stem", "s1", "s2", "s3", "s4", "final_conv"]),
        ("test_convnext", ["stem", *(f"stages.{i}" for i in range(4))]),
        ("test_vit", ["patch_embed", *(f"blocks.{i}" for i in range(6))]),
        ("small_timm_swin", ["patch_embed", *(f"layers.{i}" for i in range(4))]),
    ],
)
def test_stages(name, stages):
    assert [s.name for s in Timm(name, weights=None).stages] == stages


def test_preprocess_is_the_weights_own():
    half = (0.5, 0.5, 0.5)
    assert Timm("tf_efficientnet_lite0", weights=None).preprocess == ImagePreprocess(224, "bicubic", half, half)
    imagenet = ImagePreprocess(224, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert Timm("resnet26d", weights=None).preprocess == imagenet
    assert Timm("resnet26d", weights=None, image_size=96).preprocess.size == 96


def test_drop_path_reaches_the_model():
    def drops(backbone):
        return [m.drop_prob for m in backbone.net.modules() if type(m).__name__ == "DropPath" and m.drop_prob]

    for name in ("resnet18", "tf_efficientnet_lite0", "test_vit", "small_timm_swin", "test_convnext"):
        assert not drops(Timm(name, weights=None))
        assert drops(Timm(name, weights=None, drop_path_rate=0.2))
    with pytest.raises(ConfigError, match=r"drop_path_rate.*got 1.5"):
        Timm("resnet18", weights=None, drop_path_rate=1.5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tf_eficientnet_lite0", "Did you mean 'tf_efficientnet_lite0'"),
        ("vit_tiny_patch16_244", "Did you mean 'vit_tiny_patch16_224'"),
        ("resnet18.a1_in2k", "Did you mean 'resnet18.a1_in1k'"),
        ("beit_base_patch16_224", r"a supported family of timm \(ResNet, .*Swin\).*Did you mean .*'deit_base_patch16"),
        ("zzz", "timm.list_models"),
        ("hf-hub:somebody/something", "Expected backbone.name to be a model of timm"),
        ("vit_small_patch16_rope_mixed_224", "share trained rotary positions"),
    ],
)
def test_names_that_do_not_fit_are_refused_at_once(name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Timm(name)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "test_vit", "image_size": 40}, "multiple of the model's patches, 16 pixels, but got 40"),
        ({"name": "small_timm_swin", "image_size": 30}, "multiple of the model's patches, 4 pixels, but got 30"),
        ({"name": "test_convnext", "image_size": 31}, "at least 32 pixels but got 31"),
        ({"name": "test_vit", "image_size": 0}, "at least 1 pixel but got 0"),
        ({"name": "resnet18", "in_channels": 0}, "in_channels to be at least 1 channel but got 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Timm(weights=None, **options)


def test_pretrained_is_the_librarys_download(monkeypatch):
    torch.manual_seed(5)
    library = timm.create_model("test_vit")
    asked = []

    def download(name):
        asked.append(name)
        return library.state_dict()

    monkeypatch.setattr("tunesmith.backbone.timm.timm.download", download)
    backbone = Timm("test_vit", image_size=32, in_channels=1)
    assert torch.equal(backbone.net.blocks[5].mlp.fc2.weight, library.blocks[5].mlp.fc2.weight)
    assert torch.equal(backbone.net.patch_embed.proj.weight, library.patch_embed.proj.weight.sum(1, keepdim=True))
    assert backbone.net.pos_embed.shape == (1, 1 + 4, 64)
    assert (backbone.weights.source, backbone.weights.matched) == ("pretrained", len(library.state_dict()) - 2)
    assert asked == ["test_vit"]


def test_a_failed_download_says_what_to_do(monkeypatch):
    def create(name, pretrained=False, **options):
        if pretrained:
            raise ConnectionError("no route to host\nand a long story")
        return made(name, **options)

    made = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(weights, "quick_failure", nullcontext)
    with pytest.raises(WeightsError, match=r"\(no route to host\): connect to the network.*backbone.weights=<path>"):
        Timm("resnet18")

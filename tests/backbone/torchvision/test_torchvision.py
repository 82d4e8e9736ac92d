from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.vision_transformer import interpolate_embeddings

from tunesmith.backbone.torchvision import torchvision as adapter
from tunesmith.backbone.torchvision.torchvision import Torchvision
from tunesmith.contract.features import Needs
from tunesmith.errors import ConfigError, WeightsError
from tunesmith.modality.image import ImagePreprocess

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def make_library(name):
    torch.manual_seed(3)
    options = {"init_weights": False} if name == "inception_v3" else {}
    library = torchvision.models.get_model(name, weights=None, **options)
    for norm in (m for m in library.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        nn.init.uniform_(norm.weight, 0.9, 1.1)
    return library.eval()


def penultimate(library, images):
    """What the library's last linear layer is given."""
    seen = []
    last = [m for m in library.modules() if isinstance(m, nn.Linear) and m.out_features == 1000][-1]
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    library(images)
    hook.remove()
    return seen[0]


def save(tensors, tmp_path):
    torch.save(tensors, tmp_path / "saved.pth")
    return str(tmp_path / "saved.pth")


@pytest.fixture
def library():
    return make_library("resnet18")


@pytest.fixture
def saved(library, tmp_path):
    return save(library.state_dict(), tmp_path)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "size", "ignored"),
    [
        ("resnet18", 64, 2),
        ("small_vgg", 32, 2),  # vgg11 and vit_b_32 take 20 s, and were seen to pass with torchvision 0.29
        ("inception_v3", 75, 2 + 14),
        ("efficientnet_b0", 32, 2),
        ("convnext_tiny", 32, 2),
        ("mobilenet_v3_small", 32, 2),
        ("densenet121", 32, 2),
        ("regnet_y_400mf", 32, 2),
        ("small_vit", 64, 2),
        ("swin_t", 64, 2),
        ("swin_v2_t", 64, 2),
    ],
)
def test_penultimate_features_are_the_librarys_own(name, size, ignored, tmp_path):
    library = make_library(name)
    backbone = Torchvision(name, weights=save(library.state_dict(), tmp_path), image_size=size).eval()
    images = torch.randn(2, 3, size, size)
    own = penultimate(library, images)
    assert torch.equal(backbone(images).pooled, own)
    assert own.std() > 0
    assert backbone.feature_dim == own.shape[1]
    assert len(backbone.weights.ignored) == ignored
    assert backbone.weights.matched == len(backbone.net.state_dict())
    assert backbone.weights.missing == ()


@torch.no_grad()
def test_inception_is_normalised_as_its_weights_want():
    """What the library does within the network (`transform_input`), our `ImagePreprocess` does before it."""
    torch.manual_seed(0)
    library = torchvision.models.get_model("small_inception", transform_input=True, init_weights=True).eval()
    backbone = Torchvision("small_inception", weights=None, image_size=75).eval()
    backbone.net.load_state_dict({n: t for n, t in library.state_dict().items() if n in backbone.net.state_dict()})
    raw = torch.rand(2, 3, 75, 75)

    def normalise(mean, std):
        return (raw - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    own = penultimate(library, normalise(**IMAGENET))
    assert torch.allclose(backbone(normalise(backbone.preprocess.mean, backbone.preprocess.std)).pooled, own, rtol=1e-4)
    assert not torch.allclose(backbone(normalise(**IMAGENET)).pooled, own, rtol=1e-2)  # the negative control


def test_surplus_and_missing_tensors_are_refused_by_name(library, tmp_path):
    tensors = library.state_dict()
    del tensors["layer2.0.bn1.weight"]
    with pytest.raises(WeightsError, match=r"2 unknown \(neck.weight, heads.bias\), 1 missing \(layer2.0.bn1.weight\)"):
        extra = {"neck.weight": torch.zeros(1), "heads.bias": torch.zeros(1)}
        Torchvision("resnet18", weights=save({**tensors, **extra}, tmp_path))


def test_what_is_a_classifier_depends_on_the_family(tmp_path):
    """The hidden layers of a VGG are its backbone's: a file without them is not whole."""
    tensors = torchvision.models.get_model("small_vgg").state_dict()
    weights = Torchvision("small_vgg", weights=save(tensors, tmp_path)).weights
    assert weights.ignored == ("classifier.6.weight", "classifier.6.bias")
    del tensors["classifier.3.weight"]
    with pytest.raises(WeightsError, match=r"missing \(classifier.3.weight\)"):
        Torchvision("small_vgg", weights=save(tensors, tmp_path))


def test_weights_of_another_model_are_refused(saved):
    with pytest.raises(WeightsError, match=r"choose the model that they were saved from"):
        Torchvision("small_vgg", weights=saved)


def test_the_classifier_is_gone_and_passed_over(saved):
    backbone = Torchvision("resnet18", weights=saved)
    assert backbone.weights.ignored == ("fc.weight", "fc.bias")
    assert backbone.weights.matched == 120
    assert not any("fc" in name for name in backbone.state_dict())


def test_preprocess_is_the_weights_own():
    assert Torchvision("resnet18", weights=None).preprocess == ImagePreprocess(224, "bilinear", **IMAGENET)
    assert Torchvision("resnet18", weights=None, image_size=96).preprocess.size == 96
    assert Torchvision("small_efficientnet", weights=None).preprocess == ImagePreprocess(224, "bicubic", **IMAGENET)
    half = (0.5, 0.5, 0.5)
    assert Torchvision("small_inception", weights=None).preprocess == ImagePreprocess(299, "bilinear", half, half)


def test_one_channel_sees_a_grey_image_as_three_did(tmp_path):
    source = save(torchvision.models.get_model("small_convnext").state_dict(), tmp_path)
    grey, colour = (Torchvision("small_convnext", weights=source, in_channels=n).eval() for n in (1, 3))
    image = torch.randn(2, 1, 32, 32)
    assert torch.allclose(grey(image).pooled, colour(image.expand(2, 3, 32, 32)).pooled, atol=1e-5)
    assert grey.weights.matched == colour.weights.matched


def test_weights_of_a_grey_network_load_as_they_are(tmp_path):
    first = Torchvision("small_convnext", weights=None, in_channels=1)
    second = Torchvision("small_convnext", weights=save(first.net.state_dict(), tmp_path), in_channels=1)
    assert torch.equal(first.net.features[0][0].weight, second.net.features[0][0].weight)
    with pytest.raises(WeightsError, match=r"another shape \(features.0.0.weight \(8, 1, 4, 4\) for \(8, 3, 4, 4\)\)"):
        Torchvision("small_convnext", weights=str(tmp_path / "saved.pth"))


@torch.no_grad()
@pytest.mark.parametrize("size", [32, 64, 96])
def test_position_embeddings_are_interpolated(size, tmp_path):
    library = torchvision.models.get_model("small_vit").eval()  # for 64 pixels, in patches of 16
    source = save(library.state_dict(), tmp_path)
    backbone = Torchvision("small_vit", weights=source, image_size=size).eval()
    resized = interpolate_embeddings(size, 16, dict(library.state_dict()))["encoder.pos_embedding"]
    assert torch.equal(backbone.net.encoder.pos_embedding, resized)
    assert resized.shape[1] == (size // 16) ** 2 + 1
    images = torch.randn(2, 3, size, size)
    assert backbone(images, needs=Needs(tokens=True)).tokens.shape == (2, resized.shape[1], 24)
    again = Torchvision("small_vit", weights=save(backbone.net.state_dict(), tmp_path), image_size=size).eval()
    assert torch.equal(again(images).pooled, backbone(images).pooled)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnext50_32x4d", 5),
        ("vgg19_bn", 7),
        ("efficientnet_b3", 9),
        ("efficientnet_v2_s", 8),
        ("efficientnet_v2_m", 9),
        ("convnext_small", 5),
        ("mobilenet_v3_small", 7),
        ("mobilenet_v3_large", 8),
        ("vit_b_16", 13),
        ("swin_s", 5),
        ("swin_v2_s", 5),
    ],
)
def test_the_librarys_models_are_cut_into_stages(name, stages):
    """Stages that do not own every tensor once are refused; 65 of 66 names passed in 42 s, not regnet_y_128gf."""
    with torch.device("meta"):
        assert len(Torchvision(name, weights=None).stages) == stages


def test_pretrained_is_the_librarys_best_and_tensors_only(monkeypatch, library):
    asked = []

    def download(self, **options):
        asked.append((self.name, options))
        return library.state_dict()

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", download)
    backbone = Torchvision("resnet18")
    ((name, options),) = asked
    assert name == torchvision.models.ResNet18_Weights.DEFAULT.name
    assert options["weights_only"] is True
    assert options["check_hash"] is True
    assert backbone.weights.source == "pretrained"
    assert torch.equal(backbone.net.conv1.weight, library.conv1.weight)


def test_other_weights_of_the_library_come_by_their_name_with_their_preprocessing(monkeypatch):
    library = torchvision.models.get_model("small_vit", weights=None)
    asked = []

    def download(self, **options):
        asked.append(self.name)
        return library.state_dict()

    monkeypatch.setattr(torchvision.models.ViT_B_16_Weights, "get_state_dict", download)
    backbone = Torchvision("small_vit", weights="IMAGENET1K_SWAG_E2E_V1")
    assert asked == ["IMAGENET1K_SWAG_E2E_V1"]
    assert (backbone.preprocess.size, backbone.preprocess.interpolation) == (384, "bicubic")
    assert backbone.weights.source == "IMAGENET1K_SWAG_E2E_V1"


def test_names_older_than_the_librarys_code_are_brought_up_to_date(monkeypatch):
    """As they stand in the files that torchvision downloads."""
    vit = torchvision.models.get_model("small_vit").state_dict()
    old = {n.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): t for n, t in vit.items()}
    assert old.keys() != vit.keys()
    monkeypatch.setattr(torchvision.models.ViT_B_16_Weights, "get_state_dict", lambda self, **_: old)
    assert Torchvision("small_vit").weights.matched == len(vit) - 2
    dense = torchvision.models.get_model("small_densenet").state_dict()
    old = {n.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t for n, t in dense.items()}
    assert old.keys() != dense.keys()
    monkeypatch.setattr(torchvision.models.DenseNet121_Weights, "get_state_dict", lambda self, **_: old)
    assert Torchvision("small_densenet").weights.matched == len(dense) - 2


def test_a_failed_download_says_what_to_do(monkeypatch):
    def download(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", download)
    with pytest.raises(WeightsError, match=r"no route to host.*connect to the network.*backbone.weights=<path>"):
        Torchvision("resnet18")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "resnet5"}, r"got 'resnet5'\. Did you mean 'resnet50'"),
        ({"name": "ResNet50"}, r"Did you mean 'resnet50'"),
        ({"name": "zzz"}, r"torchvision.models.list_models\(\)"),
        ({"name": "fasterrcnn_resnet50_fpn"}, r"ResNet, VGG, .* but got 'fasterrcnn_resnet50_fpn': choose one"),
        ({"name": "quantized_resnet18"}, r"families"),
        ({"name": "squeezenet1_0"}, r"families"),
        ({"name": "small_inception", "image_size": 74}, r"at least 75 pixels for small_inception but got 74"),
        ({"name": "small_vgg", "image_size": 31}, r"at least 32 pixels"),
        ({"name": "small_vit", "image_size": 50}, r"patches of 16 pixels but got 50: take 48 or 64"),
        ({"name": "small_vit", "image_size": 5}, r"at least 16 pixels"),
        ({"name": "small_swin", "image_size": 3}, r"at least 4 pixels"),
        ({"name": "small_resnet", "image_size": 0}, r"at least 1 pixel but got 0"),
        ({"name": "small_resnet", "in_channels": 0}, r"backbone.in_channels to be at least 1 channel but got 0"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Torchvision(**{"weights": None, **options})


def test_an_unknown_word_for_weights_names_those_that_there_are():
    with pytest.raises(WeightsError, match=r"'IMAGENET1K_V2', 'package.*got 'IMAGENET1K_V3'. Did you mean") as caught:
        Torchvision("resnet50", weights="IMAGENET1K_V3")
    assert "\n" not in str(caught.value)


def test_weights_that_lack_layers_are_not_on_offer():
    """VGG-16's features without its fully connected layers, which the file fills with NaN."""
    assert "IMAGENET1K_FEATURES" in torchvision.models.VGG16_Weights.__members__
    assert list(adapter._known_weights("vgg16")) == ["IMAGENET1K_V1"]

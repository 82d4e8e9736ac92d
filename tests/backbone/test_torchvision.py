from typing import get_args, get_type_hints
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from tunesmith.backbone import torchvision as adapter
from tunesmith.backbone.torchvision import Torchvision
from tunesmith.contracts import Preprocess
from tunesmith.errors import WeightsError


@pytest.fixture
def library():
    torch.manual_seed(3)
    return torchvision.models.resnet18(weights=None).eval()


@pytest.fixture
def saved(library, tmp_path):
    torch.save(library.state_dict(), tmp_path / "resnet18.pth")
    return str(tmp_path / "resnet18.pth")


@torch.no_grad()
def test_features_are_the_librarys_own(library, saved):
    backbone = Torchvision("resnet18", weights=saved).eval()
    library.fc = nn.Identity()
    pictures = torch.randn(2, 3, 64, 64)
    assert torch.equal(backbone(pictures).pooled, library(pictures))
    assert backbone.feature_dim == 512
    assert [s.name for s in backbone.stages] == ["stem", "layer1", "layer2", "layer3", "layer4"]


def test_the_classifier_is_gone_and_passed_over(saved):
    backbone = Torchvision("resnet18", weights=saved)
    assert backbone.weights.ignored == ("fc.weight", "fc.bias")
    assert backbone.weights.matched == 120
    assert not any("fc" in name for name in backbone.state_dict())


def test_preprocess_is_the_weights_own():
    imagenet = Preprocess(224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert Torchvision("resnet18", weights=None).preprocess == imagenet
    assert Torchvision("resnet18", weights=None, image_size=96).preprocess.size == 96


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


def test_a_failed_download_says_what_to_do(monkeypatch):
    def download(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", download)
    with pytest.raises(WeightsError, match=r"no route to host.*connect to the network.*backbone.weights=<path>"):
        Torchvision("resnet18")


def test_every_name_on_offer_is_a_resnet():
    names = get_args(get_type_hints(adapter.Torchvision.__init__)["name"])
    for name in names:
        with torch.device("meta"):
            net = torchvision.models.get_model(name, weights=None)
        assert type(net) is torchvision.models.ResNet

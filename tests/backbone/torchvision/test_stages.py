import pytest
import torch
import torchvision

from tunesmith.backbone.torchvision.stages import FAMILIES
from tunesmith.backbone.torchvision.torchvision import Torchvision

STAGES = ["stem", "stage1", "stage2", "stage3", "stage4"]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("small_resnet", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("small_vgg", ["block1", "block2", "block3", "block4", "block5", "fc1", "fc2"]),
        ("small_inception", ["stem", "Mixed_5", "Mixed_6", "Mixed_7"]),
        ("small_efficientnet", ["stem", "stage1", "stage2", "stage3", "head_conv"]),
        ("small_convnext", STAGES),
        ("mobilenet_v3_small", [*STAGES, "head_conv", "fc"]),
        ("small_densenet", STAGES),
        ("small_regnet", ["stem", "block1", "block2", "block3", "block4"]),
        ("small_vit", ["embedding", "encoder_layer_0", "encoder_layer_1", "encoder_layer_2"]),
        ("small_swin", STAGES),
    ],
)
def test_stages_have_the_librarys_names_where_it_has_any(name, stages):
    assert [stage.name for stage in Torchvision(name, weights=None).stages] == stages


def test_every_family_has_a_small_model():
    """The tests of every backbone run on them."""
    small = [n for n in torchvision.models.list_models() if n.startswith("small_")]
    assert {type(torchvision.models.get_model(name)) for name in small} == set(FAMILIES)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("mobilenet_v3_small", [112, 56, 28, 14, 7, 7]),
        ("mobilenet_v3_large", [112, 112, 56, 28, 14, 7, 7]),
        ("small_swin", [56, 56, 28, 14, 7]),
        ("small_convnext", [56, 56, 28, 14, 7]),
        ("small_densenet", [56, 56, 28, 14, 7]),
        ("small_vgg", [112, 56, 28, 14, 7]),
    ],
)
@torch.no_grad()
def test_a_stage_ends_before_the_resolution_is_halved(name, sides):
    backbone = Torchvision(name, weights=None).eval()
    axis = 1 if "swin" in name else 2
    cuts = range(1, len(sides) + 1)
    assert [backbone.prefix(k)(torch.zeros(1, 3, 224, 224)).shape[axis] for k in cuts] == sides


@torch.no_grad()
@pytest.mark.parametrize("name", [n for n in torchvision.models.list_models() if n.startswith("small_")])
def test_the_smallest_image_is_taken_and_a_smaller_one_would_not_be(name):
    size = Torchvision(name, weights=None)._cut.smallest
    backbone = Torchvision(name, weights=None, image_size=size).eval()
    assert backbone(torch.randn(1, 3, size, size)).pooled.isfinite().all()
    if size > 1:
        with pytest.raises((RuntimeError, ValueError)):
            backbone(torch.randn(1, 3, size - 1, size - 1))

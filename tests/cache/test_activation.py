"""What is kept is what the library's own network gives."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision

from tunesmith.cache.activation import Activation, Wanted
from tunesmith.cache.frozen import Frozen

LITE = ["backbone=timm", "backbone.name=tf_efficientnet_lite0", "backbone.image_size=32", "backbone.weights=null"]
RESNET = ["backbone=torchvision", "backbone.name=resnet18", "backbone.image_size=32", "backbone.weights=null"]


def plain_timm(state, x):
    net = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    net.load_state_dict(state, strict=False)
    return net.eval()(x)


def plain_torchvision(state, x):
    net = torchvision.models.resnet18()
    net.load_state_dict(state, strict=False)
    net.fc = torch.nn.Identity()
    return net.eval()(x)


@pytest.mark.parametrize(("backbone", "plain"), [(LITE, plain_timm), (RESNET, plain_torchvision)])
@torch.no_grad()
def test_features_are_those_of_the_plain_network(assembled, backbone, plain):
    parts = assembled(*backbone)
    frozen = Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)
    recipe = Activation(frozen, parts.data, Wanted(len(parts.task.backbone.stages), np.arange(60)), "32-true")
    (kept,) = recipe.parts([range(8)])
    images = torch.stack([parts.data.plain(np.arange(8)).decode(i) for i in range(8)])
    preprocess = parts.data.preprocess
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (preprocess.mean, preprocess.std))
    found = plain(parts.task.backbone.net.state_dict(), (images / 255 - mean) / std)
    assert torch.allclose(kept["pooled"], found, rtol=1e-3, atol=1e-4 * float(found.abs().max()))
    assert not torch.allclose(kept["pooled"], found.roll(1, 0), rtol=1e-3, atol=1e-4)  # negative control
    assert (recipe.what, recipe.doing.split()[0]) == ("features of 60 images", "Running")

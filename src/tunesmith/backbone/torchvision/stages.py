"""Define how torchvision's families are cut: what the classifier is, and which modules form a stage.

The backbone is everything before the last linear layer and the dropout in front of it, so its pooled features are the
library model's penultimate ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models

from tunesmith.compat.required import assign
from tunesmith.contract.features import Stage

EMBEDDING = "embedding"
"""The first stage of a ViT: the only one that is more than a sequence of modules."""


@dataclass(frozen=True)
class Cut:
    """A torchvision network without its classifier, in stages.

    Attributes:
        stages: Shallow to deep.
        feature_dim: Width D of the pooled features.
        classifier: Prefixes of the library's weights for what was removed.
        output: Output of the last stage: a ``map`` (B, D, H, W), an ``nhwc`` map like all stages before it, ``tokens``
            (B, T, D), the class token first, or a ``vector`` (B, D).
        pooling: Modules that reduce the map to ``(B, D, 1, 1)``, run after the last stage; those with parameters are
            members of it.
        smallest: Height and width in pixels of the smallest image that the network accepts.
    """

    stages: tuple[Stage, ...]
    feature_dim: int
    classifier: tuple[str, ...] = ("classifier.",)
    output: Literal["map", "nhwc", "tokens", "vector"] = "map"
    pooling: tuple[str, ...] = ("avgpool",)
    smallest: int = 1


def embed(net: models.VisionTransformer, x: Tensor) -> Tensor:
    """Embed the patches of images ``(B, C, H, W)`` as tokens ``(B, T, D)``, the class token first."""
    patches = net.conv_proj(x).flatten(2).transpose(1, 2)
    tokens = torch.cat([net.class_token.expand(len(x), -1, -1), patches], dim=1)
    embedded: Tensor = net.encoder.dropout(tokens + net.encoder.pos_embedding)
    return embedded


def _resnet(net: models.ResNet) -> Cut:
    width = _take(net, "fc")
    layers = [Stage(name, (name,)) for name in ("layer1", "layer2", "layer3", "layer4")]
    return Cut((Stage("stem", ("conv1", "bn1", "relu", "maxpool")), *layers), width, ("fc.",))


def _vgg(net: models.VGG) -> Cut:
    """Cut a VGG into blocks that end in a pool, and the two hidden fully connected layers."""
    width: int = net.classifier[6].in_features
    net.classifier = net.classifier[:5]
    net.flatten = nn.Flatten()
    blocks: list[list[str]] = [[]]
    for i, module in enumerate(net.features):
        blocks[-1].append(f"features.{i}")
        if isinstance(module, nn.MaxPool2d) and i < len(net.features) - 1:
            blocks.append([])
    stages = [Stage(f"block{i}", tuple(members)) for i, members in enumerate(blocks, 1)]
    first = ("avgpool", "flatten", *(f"classifier.{i}" for i in (0, 1, 2)))
    stages += [Stage("fc1", first), Stage("fc2", ("classifier.3", "classifier.4"))]
    return Cut(tuple(stages), width, ("classifier.6.",), "vector", pooling=(), smallest=32)


def _inception(net: models.Inception3) -> Cut:
    width = _take(net, "fc")
    stem = (
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
        *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    )
    groups = [_names("Mixed_5", "bcd"), _names("Mixed_6", "abcde"), _names("Mixed_7", "abc")]
    mixed = [Stage(members[0][:-1], members) for members in groups]
    return Cut((Stage("stem", stem), *mixed), width, ("fc.", "AuxLogits."), smallest=75)


def _efficientnet(net: models.EfficientNet) -> Cut:
    width: int = net.classifier[-1].in_features
    net.classifier = nn.Identity()
    last = len(net.features) - 1
    stages = [Stage(f"stage{i}", (f"features.{i}",)) for i in range(1, last)]
    return Cut((Stage("stem", ("features.0",)), *stages, Stage("head_conv", (f"features.{last}",))), width)


def _convnext(net: models.ConvNeXt) -> Cut:
    """Cut a ConvNeXt so that each stage begins with its downsampling; the norm after pooling belongs to the last."""
    width: int = net.classifier[2].in_features
    net.classifier = net.classifier[:1]
    stages = _downsampled(len(net.features), extra="classifier.0")
    return Cut(stages, width, ("classifier.2.",), pooling=("avgpool", "classifier.0"), smallest=32)


def _mobilenet_v3(net: models.MobileNetV3) -> Cut:
    """Cut a MobileNet v3 wherever the resolution is halved; the hidden linear layer is the last stage."""
    width: int = net.classifier[3].in_features
    net.classifier = net.classifier[:2]
    net.flatten = nn.Flatten()
    last = len(net.features) - 1
    blocks: list[list[str]] = []
    for i in range(1, last):
        if not blocks or _halves(net.features[i]):
            blocks.append([])
        blocks[-1].append(f"features.{i}")
    stages = [Stage("stem", ("features.0",))]
    stages += [Stage(f"stage{i}", tuple(members)) for i, members in enumerate(blocks, 1)]
    stages += [Stage("head_conv", (f"features.{last}",))]
    stages += [Stage("fc", ("avgpool", "flatten", "classifier.0", "classifier.1"))]
    return Cut(tuple(stages), width, ("classifier.3.",), "vector", pooling=())


def _densenet(net: models.DenseNet) -> Cut:
    """Cut a DenseNet into blocks with the transition in front of each; the last norm and ReLU end the last block."""
    width = _take(net, "classifier")
    net.relu = nn.ReLU(inplace=True)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    stem = Stage("stem", tuple(f"features.{name}" for name in ("conv0", "norm0", "relu0", "pool0")))
    blocks = [["denseblock1"], *([f"transition{i}", f"denseblock{i + 1}"] for i in (1, 2, 3))]
    stages = [Stage(f"stage{i}", tuple(f"features.{name}" for name in names)) for i, names in enumerate(blocks, 1)]
    ending = Stage("stage4", (*stages[3].members, "features.norm5", "relu"))
    return Cut((stem, *stages[:3], ending), width, smallest=29)


def _regnet(net: models.RegNet) -> Cut:
    width = _take(net, "fc")
    blocks = [Stage(name, (f"trunk_output.{name}",)) for name, _ in net.trunk_output.named_children()]
    return Cut((Stage("stem", ("stem",)), *blocks), width, ("fc.",))


def _vit(net: models.VisionTransformer) -> Cut:
    """Cut a ViT so that each encoder layer is a stage; the final norm belongs to the last."""
    width: int = net.hidden_dim
    assign("torchvision", net, "heads", nn.Identity())
    layers = [name for name, _ in net.encoder.layers.named_children()]
    stages = [Stage(name, (f"encoder.layers.{name}",)) for name in layers[:-1]]
    ending = Stage(layers[-1], (f"encoder.layers.{layers[-1]}", "encoder.ln"))
    first = Stage(EMBEDDING, ("conv_proj", "class_token", "encoder.pos_embedding", "encoder.dropout"))
    return Cut((first, *stages, ending), width, ("heads.",), "tokens", pooling=(), smallest=net.patch_size)


def _swin(net: models.SwinTransformer) -> Cut:
    """Cut a Swin so that each stage begins with its patch merging; the final norm belongs to the last."""
    width = _take(net, "head")
    patch: int = net.features[0][0].kernel_size[0]
    return Cut(_downsampled(len(net.features), extra="norm"), width, ("head.",), "nhwc", smallest=patch)


FAMILIES: Mapping[type[nn.Module], Callable[[nn.Module], Cut]] = {
    models.ResNet: _resnet,
    models.VGG: _vgg,
    models.Inception3: _inception,
    models.EfficientNet: _efficientnet,
    models.ConvNeXt: _convnext,
    models.MobileNetV3: _mobilenet_v3,
    models.DenseNet: _densenet,
    models.RegNet: _regnet,
    models.VisionTransformer: _vit,
    models.SwinTransformer: _swin,
}
"""Function, by class of network, that removes the classifier and returns the stages."""


def _take(net: nn.Module, name: str) -> int:
    """Remove a linear classifier from a network and return its input width D."""
    width: int = getattr(net, name).in_features
    setattr(net, name, nn.Identity())
    return width


def _names(begin: str, ends: Iterable[str]) -> tuple[str, ...]:
    return tuple(begin + end for end in ends)


def _downsampled(pieces: int, extra: str) -> tuple[Stage, ...]:
    """Return a stem, blocks, then pairs of downsampling and blocks, as in ConvNeXt and Swin."""
    members = [["features.0"], ["features.1"]] + [[f"features.{i}", f"features.{i + 1}"] for i in range(2, pieces, 2)]
    members[-1].append(extra)
    names = ["stem", *(f"stage{i}" for i in range(1, len(members)))]
    return tuple(Stage(name, tuple(owned)) for name, owned in zip(names, members, strict=True))


def _halves(block: nn.Module) -> bool:
    return any(max(m.stride) > 1 for m in block.modules() if isinstance(m, nn.Conv2d))

"""Backbones of torchvision: the ResNet family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torchvision
from torch import Tensor, nn

from tunesmith.backbone.base import Backbone
from tunesmith.backbone.weights import load_weights
from tunesmith.contracts import Features, Preprocess, Stage

STEM = Stage("stem", ("conv1", "bn1", "relu", "maxpool"))
LAYERS = tuple(Stage(name, (name,)) for name in ("layer1", "layer2", "layer3", "layer4"))


class Torchvision(Backbone):
    """A ResNet of torchvision in five stages: ``stem``, ``layer1`` to ``layer4``.

    Args:
        name: Name of the model, as torchvision spells it.
        weights: ``pretrained`` (torchvision's best, downloaded on first use), a file, or ``None``.
        image_size: Height and width of the pictures in pixels; ``None`` takes what the weights were evaluated with.
        strict: Refuse a weights file with unknown or missing tensors.

    Raises:
        ConfigError: The picture size is not positive.
        WeightsError: The weights cannot be found, read or matched.
    """

    def __init__(
        self,
        name: Literal[
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "resnext50_32x4d",
            "resnext101_32x8d",
            "resnext101_64x4d",
            "wide_resnet50_2",
            "wide_resnet101_2",
        ] = "resnet50",
        weights: str | None = "pretrained",
        image_size: int | None = None,
        strict: bool = True,
    ) -> None:
        best = torchvision.models.get_model_weights(name).DEFAULT
        net = torchvision.models.get_model(name, weights=None)
        feature_dim: int = net.fc.in_features
        net.fc = nn.Identity()
        preprocess = _preprocess(best.transforms())
        super().__init__(
            net=net,
            stages=(STEM, *LAYERS),
            feature_dim=feature_dim,
            preprocess=preprocess if image_size is None else replace(preprocess, size=image_size),
            weights=load_weights(
                net,
                weights,
                pretrained=lambda: best.get_state_dict(check_hash=True, weights_only=True, map_location="cpu"),
                strict=strict,
            ),
        )

    def pool(self, x: Tensor) -> Features:
        """Average the map ``(B, D, H, W)`` over its pixels, with the library's own pooling."""
        return Features(pooled=self.net.get_submodule("avgpool")(x).flatten(1), map=x)


def _preprocess(transforms: Any) -> Preprocess:
    """Read the evaluation transforms that torchvision keeps with the weights.

    Their resize before the crop (232 px for a crop of 224) is left to the data's transforms, which resize the shorter
    side to the size itself: nothing at the rim of a picture is lost.
    """
    return Preprocess(
        size=transforms.crop_size[0],
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )

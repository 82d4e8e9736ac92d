"""Backbones of timm: its EfficientNet and ResNet families."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import timm
from timm.models.efficientnet import EfficientNet
from torch import Tensor

from tunesmith.backbone.base import Backbone
from tunesmith.backbone.weights import load_weights
from tunesmith.contracts import Features, Preprocess, Stage
from tunesmith.errors import ConfigError, nearest

MODULES = ("efficientnet", "resnet", "resnest", "sknet")
"""The modules of ``timm.models`` whose models are all of the class EfficientNet or ResNet."""


class Timm(Backbone):
    """An EfficientNet or a ResNet of timm.

    The EfficientNet class (also MobileNet v1 and v2, MnasNet, MixNet, TinyNet, …) has the stages ``stem``, one for each
    group of blocks (``blocks.0``, …) and ``head_conv``; the ResNet class (also ResNeXt, SE-, ECA-, SK-ResNet, ResNeSt,
    …) has ``stem`` and ``layer1`` to ``layer4``.

    Args:
        name: Name of the model, as timm spells it, with or without the tag of its weights.
        weights: ``pretrained`` (the tag's, downloaded on first use), ``package:efficientnet_lite0`` for
            ``tf_efficientnet_lite0``, a file, or ``None``.
        image_size: Height and width of the pictures in pixels; ``None`` takes what the weights were trained with.
        drop_path_rate: Stochastic depth: the probability, 0 to 1, of skipping the last block; earlier ones less.
        strict: Refuse a weights file with unknown or missing tensors.

    Raises:
        ConfigError: The name is unknown or of another family, or a number is out of range.
        WeightsError: The weights cannot be found, read or matched.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str | None = "pretrained",
        image_size: int | None = None,
        drop_path_rate: float = 0.0,
        strict: bool = True,
    ) -> None:
        _check_name(name)
        if not 0 <= drop_path_rate < 1:
            raise ConfigError(f"Expected backbone.drop_path_rate to be from 0 to below 1 but got {drop_path_rate}.")
        net: Any = timm.create_model(name, pretrained=False, num_classes=0, drop_path_rate=drop_path_rate)
        preprocess = _preprocess(net.pretrained_cfg)
        super().__init__(
            net=net,
            stages=_stages(net),
            feature_dim=net.head_hidden_size,
            preprocess=preprocess if image_size is None else replace(preprocess, size=image_size),
            weights=load_weights(
                net,
                weights,
                pretrained=lambda: timm.create_model(name, pretrained=True).state_dict(),
                strict=strict,
            ),
        )

    def pool(self, x: Tensor) -> Features:
        """Pool the map ``(B, C, H, W)`` as the model does, an average over its pixels as a rule."""
        return Features(pooled=self.net.get_submodule("global_pool")(x), map=x)


def _check_name(name: str) -> None:
    if timm.models.is_model_in_modules(name, MODULES):
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        if "." in name and name not in tags:
            raise ConfigError(
                f"Expected backbone.name to be a model and a tag of timm but got '{name}'.{nearest(name, tags)}"
            )
        return
    if timm.is_model(name):
        raise ConfigError(
            "Expected backbone.name to be of timm's EfficientNet or ResNet families, which are supported, "
            f"but got '{name}': choose one of them, such as 'efficientnet_b0' or 'resnet50'."
        )
    supported = [model for module in MODULES for model in timm.list_models(module=module)]
    hint = nearest(name, supported) if nearest(name, supported).startswith(" Did") else ""
    raise ConfigError(
        f"Expected backbone.name to be a model of timm but got '{name}'."
        f"{hint or ' See timm.list_models(module=...) for efficientnet and resnet.'}"
    )


def _stages(net: Any) -> list[Stage]:
    if not isinstance(net, EfficientNet):
        layers = [Stage(name, (name,)) for name in ("layer1", "layer2", "layer3", "layer4")]
        return [Stage("stem", ("conv1", "bn1", "act1", "maxpool")), *layers]
    blocks = [Stage(f"blocks.{i}", (f"blocks.{i}",)) for i in range(len(net.blocks))]
    # A few models end with their blocks: a stage without parameters would be a name that selects nothing.
    head = [Stage("head_conv", ("conv_head", "bn2"))] if any(True for _ in net.conv_head.parameters()) else []
    return [Stage("stem", ("conv_stem", "bn1")), *blocks, *head]


def _preprocess(cfg: dict[str, Any]) -> Preprocess:
    """Read what timm keeps with the weights.

    Its ``crop_pct`` (resize to more than the size, then crop) is left out: the data's transforms resize the shorter
    side to the size itself and crop the centre, so nothing but the longer side's ends is lost.
    """
    return Preprocess(
        size=cfg["input_size"][-1],
        interpolation=cfg["interpolation"],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
    )

"""Small models of torchvision's families, by the library's own registry: real classes, few channels, few blocks.

`torchvision.models.get_model` builds them by name as it does its own, so what is tested is the adapter as it is. The
smallest VGG and ViT of the library have 130 and 87 million parameters: a training run of each would take minutes.
"""

from functools import partial
from typing import Any

import timm
import torch
from torch import nn
from torchvision import models
from torchvision.models import efficientnet, inception, mobilenetv3, regnet, resnet, swin_transformer, vgg
from torchvision.models._api import register_model


@register_model()
def small_resnet(*, weights: models.ResNet18_Weights | None = None) -> models.ResNet:
    return models.ResNet(resnet.Bottleneck, [1, 1, 1, 1], width_per_group=8)


@register_model()
def small_vgg(*, weights: models.VGG11_BN_Weights | None = None) -> models.VGG:
    features = vgg.make_layers([8, "M", 8, "M", 16, "M", 16, 16, "M", 16, "M"], batch_norm=True)
    with torch.device("meta"):  # its fully connected layers are 4,096 wide, whatever comes before them
        net = models.VGG(features, init_weights=False)
    for i, layer in {0: nn.Linear(16 * 49, 24), 3: nn.Linear(24, 24), 6: nn.Linear(24, 1000)}.items():
        net.classifier[i] = layer
    return net


def narrow(in_channels: int, out_channels: int, **options: Any) -> inception.BasicConv2d:
    return inception.BasicConv2d(in_channels if in_channels == 3 else in_channels // 8, out_channels // 8, **options)


@register_model()
def small_inception(
    *,
    weights: models.Inception_V3_Weights | None = None,
    aux_logits: bool = True,
    transform_input: bool = False,
    init_weights: bool | None = None,
) -> models.Inception3:
    kinds = [getattr(inception, f"Inception{letter}") for letter in ("A", "B", "C", "D", "E", "Aux")]
    net = models.Inception3(
        aux_logits=aux_logits,
        transform_input=transform_input,
        inception_blocks=[narrow, *(partial(kind, conv_block=narrow) for kind in kinds)],
        init_weights=bool(init_weights),
    )
    net.fc = nn.Linear(2048 // 8, 1000)
    return net


@register_model()
def small_efficientnet(*, weights: models.EfficientNet_B0_Weights | None = None) -> models.EfficientNet:
    settings = [
        efficientnet.FusedMBConvConfig(1, 3, 1, 8, 8, 1),
        efficientnet.MBConvConfig(4, 3, 2, 8, 16, 2),
        efficientnet.MBConvConfig(4, 5, 2, 16, 24, 2),
    ]
    return models.EfficientNet(settings, dropout=0.2)


@register_model()
def small_convnext(*, weights: models.ConvNeXt_Tiny_Weights | None = None) -> models.ConvNeXt:
    widths = [8, 16, 24, 32, None]
    settings = [models.convnext.CNBlockConfig(widths[i], widths[i + 1], 1) for i in range(4)]
    return models.ConvNeXt(settings, stochastic_depth_prob=0.1)


@register_model()
def small_mobilenet_v3(*, weights: models.MobileNet_V3_Small_Weights | None = None) -> models.MobileNetV3:
    block = partial(mobilenetv3.InvertedResidualConfig, width_mult=0.5)
    settings = [
        block(16, 3, 16, 16, True, "RE", 2, 1),
        block(16, 3, 32, 24, False, "RE", 2, 1),
        block(24, 3, 48, 24, True, "HS", 1, 1),
    ]
    return models.MobileNetV3(settings, last_channel=40)


@register_model()
def small_densenet(*, weights: models.DenseNet121_Weights | None = None) -> models.DenseNet:
    return models.DenseNet(growth_rate=8, block_config=(1, 2, 2, 1), num_init_features=16)


@register_model()
def small_regnet(*, weights: models.RegNet_Y_400MF_Weights | None = None) -> models.RegNet:
    blocks = regnet.BlockParams([1, 1, 2, 1], [8, 16, 24, 32], [8] * 4, [1.0] * 4, [2] * 4, se_ratio=0.25)
    return models.RegNet(blocks, stem_width=8)


@register_model()
def small_vit(*, weights: models.ViT_B_16_Weights | None = None) -> models.VisionTransformer:
    return models.VisionTransformer(
        image_size=64, patch_size=16, num_layers=3, num_heads=2, hidden_dim=24, mlp_dim=48, dropout=0.1
    )


@register_model()
def small_swin(*, weights: models.Swin_T_Weights | None = None) -> models.SwinTransformer:
    return models.SwinTransformer([4, 4], 12, [1, 1, 2, 1], [1, 2, 3, 4], [4, 4], stochastic_depth_prob=0.1)


@register_model()
def small_swin_v2(*, weights: models.Swin_V2_T_Weights | None = None) -> models.SwinTransformer:
    return models.SwinTransformer(
        [4, 4],
        12,
        [1, 1, 2, 1],
        [1, 2, 3, 4],
        [4, 4],
        block=swin_transformer.SwinTransformerBlockV2,
        downsample_layer=swin_transformer.PatchMergingV2,
    )


def register_smaller(name: str, like: str, **smaller: Any) -> None:
    """Register a model of timm's under another name, with smaller numbers, beside the one that it is like."""

    def small(pretrained: bool = False, **options: Any) -> nn.Module:
        return timm.models.model_entrypoint(like)(pretrained, **{**smaller, **options})

    small.__name__, small.__module__ = name, timm.models.model_entrypoint(like).__module__
    timm.models.register_model(small)


NARROW: dict[str, Any] = {"patch_size": 16, "embed_dim": 48, "depth": 3, "num_heads": 2}
register_smaller("small_clip", "vit_base_patch32_clip_224", **NARROW)
register_smaller("small_siglip", "vit_base_patch16_siglip_224", **NARROW)
register_smaller("small_deit", "deit_tiny_distilled_patch16_224", **NARROW)
register_smaller("small_eva", "eva02_tiny_patch14_224", **NARROW)
register_smaller("small_dino_v3", "vit_tiny_patch16_dinov3_qkvb", **NARROW)
WINDOWED: dict[str, Any] = {"embed_dim": 12, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 3, 4)}
register_smaller("small_timm_swin", "swin_tiny_patch4_window7_224", **WINDOWED)
register_smaller("small_timm_swin_v2", "swinv2_tiny_window8_256", **WINDOWED)

"""Load backbones of torchvision: ten families of its classification models."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, get_type_hints

import torchvision
from torch import Tensor, nn
from torchvision.models import VisionTransformer, WeightsEnum
from torchvision.models.vision_transformer import interpolate_embeddings
from torchvision.transforms import InterpolationMode

from tunesmith.backbone.adapt import adapt_input, adapt_preprocess, adapt_source
from tunesmith.backbone.base import Backbone
from tunesmith.backbone.torchvision.stages import EMBEDDING, FAMILIES, Cut, embed
from tunesmith.backbone.weights import load_weights
from tunesmith.compat.required import assign
from tunesmith.contract.features import Stage
from tunesmith.errors import ConfigError, nearest
from tunesmith.modality.image import ImagePreprocess

POSITIONS = "encoder.pos_embedding"
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"), r"\1\2"),  # DenseNet before torch 0.4
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_1\."), r"\g<1>0."),  # ViT before torchvision 0.14
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_2\."), r"\g<1>3."),
)
"""Names in torchvision's own downloads that its code has since renamed."""


class Transforms(Protocol):
    """The evaluation transforms that torchvision keeps with weights."""

    crop_size: Sequence[int]
    interpolation: InterpolationMode
    mean: Sequence[float]
    std: Sequence[float]


class Torchvision(Backbone):
    """A classification model of torchvision, up to its penultimate features.

    The families, and their stages from shallow to deep:

    - ResNet, ResNeXt, Wide ResNet: ``stem``, ``layer1`` to ``layer4``.
    - VGG: ``block1`` to ``block5``, then the two hidden fully connected layers ``fc1`` and ``fc2``.
    - Inception v3, without its auxiliary classifier: ``stem``, ``Mixed_5``, ``Mixed_6``, ``Mixed_7``.
    - EfficientNet and V2: ``stem``, ``stage1`` to ``stage7`` (6 in V2 s), ``head_conv``.
    - ConvNeXt: ``stem``, ``stage1`` to ``stage4`` with the norm after the pooling.
    - MobileNet v3: ``stem``, one stage per resolution, ``head_conv``, and the hidden linear layer ``fc``.
    - DenseNet: ``stem``, ``stage1`` to ``stage4``, each a dense block with the transition in front of it.
    - RegNet: ``stem``, ``block1`` to ``block4``.
    - ViT: ``embedding``, then each layer of the encoder, ``encoder_layer_0`` and so on, the last with the final norm.
    - Swin and Swin V2: ``stem``, ``stage1`` to ``stage4``, the last with the final norm.

    The dropout in front of the classifier goes with the classifier. A ViT has tokens, the class token first, and
    maps of its patches. The last stages of VGG and MobileNet v3 come after the pooling, and have no map.

    Args:
        name: torchvision's name of the model.
        weights: ``pretrained`` (torchvision's best), the name of other torchvision weights for the model, such as
            ``IMAGENET1K_V1``, a file, or ``None``; torchvision's are downloaded on first use.
        image_size: Height and width of the images in pixels; ``None`` for the size the weights were evaluated with. The
            position embeddings of a ViT are interpolated.
        in_channels: Channels of the images; the first convolution is adapted to numbers other than 3.
        strict: Reject a weights file with unknown or missing tensors.

    Raises:
        ConfigError: The name is unknown or of another family, or a number does not fit the model.
        WeightsError: The weights cannot be found, read or matched.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str | None = "pretrained",
        image_size: int | None = None,
        in_channels: int = 3,
        strict: bool = True,
    ) -> None:
        kind = _kind(name)
        known = _known_weights(name)
        best = torchvision.models.get_model_weights(name).DEFAULT
        chosen = known.get(weights or "", best)
        preprocess = adapt_preprocess(_preprocess(kind, chosen.transforms()), image_size, in_channels)
        net = _make(kind, name)
        cut = FAMILIES[kind](net)
        _check_size(name, preprocess.size, cut)
        if cut.output == "tokens":
            _resize(net, preprocess.size)
        adapt_input(net, in_channels)
        self._cut = cut
        super().__init__(
            net=net,
            stages=cut.stages,
            feature_dim=cut.feature_dim,
            preprocess=preprocess,
            weights=load_weights(
                net,
                weights,
                pretrained=partial(_download, best),
                named={word: partial(_download, member) for word, member in known.items()},
                classifier=cut.classifier,
                adapt=partial(_adapt, net),
                strict=strict,
            ),
        )

    def run_stage(self, stage: Stage, x: Tensor) -> Tensor:
        """Run a stage's modules in order, except those that pool."""
        if stage.name == EMBEDDING:
            return embed(self.net, x)
        for name, member in self.members(stage).items():
            if name not in self._cut.pooling and isinstance(member, nn.Module):
                x = member(x)
        return x

    def pool_stage(self, x: Tensor) -> Tensor:
        """Pool a stage's output like the base class; also the maps of a Swin, ``(B, H, W, C)``."""
        return super().pool_stage(x.permute(0, 3, 1, 2) if self._cut.output == "nhwc" else x)

    def pool(self, x: Tensor) -> Tensor:
        """Pool the last stage's output as the library does; of tokens ``(B, T, D)``, take the class token."""
        if self._cut.output == "vector":
            return x
        if self._cut.output == "tokens":
            return x[:, 0]
        pooled = x.permute(0, 3, 1, 2) if self._cut.output == "nhwc" else x
        for name in self._cut.pooling:
            pooled = self.net.get_submodule(name)(pooled)
        return pooled.flatten(1)

    def tokens(self, x: Tensor) -> tuple[Tensor | None, None]:
        """Return the last stage's tokens, for a ViT."""
        return (x if self._cut.output == "tokens" else None), None

    def map_of(self, stage: Stage, x: Tensor) -> Tensor | None:
        """Return a stage's output as a map ``(B, C, H, W)``; for a ViT, its patches in rows and columns."""
        if self._cut.output == "tokens":
            side = math.isqrt(x.shape[1] - 1)
            return x[:, 1:].mT.reshape(len(x), x.shape[2], side, side)
        found = super().map_of(stage, x)
        return found.permute(0, 3, 1, 2) if found is not None and self._cut.output == "nhwc" else found


def _kind(name: str) -> type[nn.Module]:
    """Return the class of a model by name, without building it."""
    models = torchvision.models.list_models()
    kinds: dict[str, type[nn.Module]] = {
        model: get_type_hints(torchvision.models.get_model_builder(model))["return"] for model in models
    }
    supported = [model for model, kind in kinds.items() if kind in FAMILIES]
    if name in supported:
        return kinds[name]
    if name in models:
        families = ", ".join(family.__name__ for family in FAMILIES)
        raise ConfigError(
            f"Expected backbone.name to be of one of torchvision's families {families}, which are supported, "
            f"but got '{name}': choose one of them, such as 'resnet50'."
        )
    near = nearest(name, supported)
    hint = near if near.startswith(" Did") else " See torchvision.models.list_models() for resnet, vit and others."
    raise ConfigError(f"Expected backbone.name to be a model of torchvision but got '{name}'.{hint}")


def _known_weights(name: str) -> dict[str, WeightsEnum]:
    """Return the library's weights for a model by name, except those that lack layers (NaN in VGG's features)."""
    return {w.name: w for w in torchvision.models.get_model_weights(name) if w.meta["categories"]}


def _make(kind: type[nn.Module], name: str) -> nn.Module:
    # The normalisation that `transform_input` undoes is in our ImagePreprocess: the same numbers, for any channels.
    inception = {"aux_logits": False, "transform_input": False, "init_weights": True}
    options = inception if kind is torchvision.models.Inception3 else {}
    net: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return net


def _check_size(name: str, size: int, cut: Cut) -> None:
    if size < cut.smallest:
        raise ConfigError(
            f"Expected backbone.image_size to be at least {cut.smallest} pixels for {name} but got {size}."
        )
    if cut.output == "tokens" and size % cut.smallest:
        below = size - size % cut.smallest
        raise ConfigError(
            f"Expected backbone.image_size to be a multiple of {name}'s patches of {cut.smallest} pixels "
            f"but got {size}: take {below} or {below + cut.smallest}."
        )


def _resize(net: VisionTransformer, size: int) -> None:
    """Make a ViT accept images of another size, in pixels."""
    resized = interpolate_embeddings(size, net.patch_size, {POSITIONS: net.encoder.pos_embedding.detach()})[POSITIONS]
    assign("torchvision", net.encoder, "pos_embedding", nn.Parameter(resized))
    assign("torchvision", net, "image_size", size)
    assign("torchvision", net, "seq_length", resized.shape[1])


def _adapt(net: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the library's weights to its current names, the network's channels and its image size."""
    adapted = adapt_source(net, {_renamed(name): tensor for name, tensor in tensors.items()})
    positions = adapted.get(POSITIONS)
    # Only square grids can be interpolated; loading rejects anything else by its shape.
    if (
        positions is not None
        and positions.ndim == 3
        and int((positions.shape[1] - 1) ** 0.5) ** 2 + 1 == positions.shape[1]
    ):
        return dict(interpolate_embeddings(net.image_size, net.patch_size, adapted))
    return adapted


def _renamed(name: str) -> str:
    for pattern, new in RENAMED:
        name = pattern.sub(new, name)
    return name


def _download(weights: WeightsEnum) -> Mapping[str, Tensor]:
    tensors: Mapping[str, Tensor] = weights.get_state_dict(check_hash=True, weights_only=True, map_location="cpu")
    return tensors


def _preprocess(kind: type[nn.Module], transforms: Transforms) -> ImagePreprocess:
    """Read the evaluation transforms that torchvision keeps with the weights.

    Their resize before the crop (232 px for a crop of 224) is left to the data's transforms, which resize the shorter
    side to the size itself, so that nothing at the border of an image is lost.

    Inception v3's weights come from a network for images from -1 to 1; torchvision normalises with ImageNet's numbers
    and lets the network correct that (``transform_input``). Here the images are normalised to -1 to 1 directly.
    """
    preprocess = ImagePreprocess(
        size=transforms.crop_size[0],
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
    half = (0.5, 0.5, 0.5)
    return replace(preprocess, mean=half, std=half) if kind is torchvision.models.Inception3 else preprocess

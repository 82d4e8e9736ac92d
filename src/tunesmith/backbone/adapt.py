"""Adapt a pretrained network to images with other channels or of another size than its weights were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from tunesmith.compat.required import assign
from tunesmith.errors import ConfigError
from tunesmith.modality.image import ImagePreprocess

RGB = 3


def adapt_preprocess(preprocess: ImagePreprocess, image_size: int | None, in_channels: int) -> ImagePreprocess:
    """Adapt the preprocessing to images of another size or with other channels, like the filters.

    Args:
        preprocess: The weights' own preprocessing.
        image_size: Height and width in pixels; ``None`` keeps the weights'.
        in_channels: 1 averages mean and std over R, G and B; other numbers repeat them.

    Raises:
        ConfigError: A number is not positive.
    """
    size = preprocess.size if image_size is None else image_size
    if size < 1:
        raise ConfigError(f"Expected backbone.image_size to be at least 1 pixel but got {size}.")
    if in_channels < 1:
        raise ConfigError(f"Expected backbone.in_channels to be at least 1 channel but got {in_channels}.")
    if in_channels == preprocess.channels:
        return replace(preprocess, size=size)
    return replace(
        preprocess, size=size, mean=_spread(preprocess.mean, in_channels), std=_spread(preprocess.std, in_channels)
    )


def adapt_filters(weight: Tensor, in_channels: int) -> Tensor:
    """Convert filters for RGB ``(O, 3, kH, kW)`` to other channels ``(O, in_channels, kH, kW)``.

    For one channel, filters are summed over R, G and B, which is exact for a grey image copied to all three. Otherwise
    R, G, B, R, … are repeated and scaled by 3 / ``in_channels``, so that the response to equal channels keeps its
    scale: exactly for multiples of three, on average for the rest. This is timm's method (``adapt_input_conv``).
    """
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [i % RGB for i in range(in_channels)]] * (RGB / in_channels)


def adapt_input(net: nn.Module, in_channels: int) -> None:
    """Make the first convolution of an RGB network accept other channels; adapts its filters and nothing else.

    Args:
        net: Network whose first convolution, in order of registration, takes the images; modified in place.
        in_channels: Channels of the images.

    Raises:
        ConfigError: The network has no ungrouped convolution.
    """
    if in_channels == RGB:
        return
    _, convolution = first_convolution(net)
    with torch.no_grad():
        convolution.weight = nn.Parameter(adapt_filters(convolution.weight, in_channels))
    assign("torch", convolution, "in_channels", in_channels)


def adapt_source(net: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Adapt RGB weights' first convolution to a network that `adapt_input` changed; the rest stays.

    Weights saved from a network with the same channels are returned unchanged.

    Args:
        net: The network that the weights are for.
        tensors: Weights by the network's own names.
    """
    name, convolution = first_convolution(net)
    weight = tensors.get(name)
    if weight is None or weight.ndim != 4 or weight.shape[1] != RGB or convolution.in_channels == RGB:
        return dict(tensors)
    return {**tensors, name: adapt_filters(weight, convolution.in_channels)}


def first_convolution(net: nn.Module) -> tuple[str, nn.Conv2d]:
    """Find the convolution that takes the images, and the name of its weight.

    Raises:
        ConfigError: The network has no ungrouped convolution.
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            return f"{name}.weight" if name else "weight", module
    raise ConfigError(
        "Expected a backbone that begins with a convolution, to adapt it to backbone.in_channels, but got none."
    )


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if channels == 1:
        return (round(sum(values) / len(values), 6),)
    return tuple(values[i % len(values)] for i in range(channels))

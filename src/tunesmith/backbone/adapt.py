"""Fitting a network to other pictures than its weights were trained on: other channels, another size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from tunesmith.compat.required import assign
from tunesmith.contract.preprocess import Preprocess
from tunesmith.errors import ConfigError

RGB = 3


def adapt_preprocess(preprocess: Preprocess, image_size: int | None, in_channels: int) -> Preprocess:
    """Say how pictures of another size or other channels are prepared, as the filters are adapted to them.

    Args:
        preprocess: The weights' own.
        image_size: Height and width in pixels; ``None`` keeps the weights'.
        in_channels: 1 takes the average over R, G and B of mean and std; other counts repeat them.

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
    """Make filters for RGB ``(O, 3, kH, kW)`` into filters for other channels ``(O, in_channels, kH, kW)``.

    One channel gets the sum over R, G and B, which is exact for a grey picture written three times. Other counts repeat
    R, G, B, R, … times 3 / ``in_channels``, so that the response to the same input in every channel keeps its size:
    exactly for multiples of three, on average for the rest. Both are timm's practice (``adapt_input_conv``).
    """
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [i % RGB for i in range(in_channels)]] * (RGB / in_channels)


def adapt_input(net: nn.Module, in_channels: int) -> None:
    """Make the first convolution of a network for RGB take other channels; its filters are adapted, the rest stays.

    Args:
        net: Whose first convolution, in the order of registration, takes the pictures; changed in place.
        in_channels: Channels of the pictures.

    Raises:
        ConfigError: The network has no convolution that takes three channels.
    """
    if in_channels == RGB:
        return
    _, convolution = first_convolution(net)
    with torch.no_grad():
        convolution.weight = nn.Parameter(adapt_filters(convolution.weight, in_channels))
    assign("torch", convolution, "in_channels", in_channels)


def adapt_source(net: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Adapt the first convolution in weights for RGB to a network that `adapt_input` changed; the rest stays.

    Weights that were saved from a network with the same channels stay as they are.

    Args:
        net: The network that the weights are for.
        tensors: Weights under the network's own names.
    """
    name, convolution = first_convolution(net)
    weight = tensors.get(name)
    if weight is None or weight.ndim != 4 or weight.shape[1] != RGB or convolution.in_channels == RGB:
        return dict(tensors)
    return {**tensors, name: adapt_filters(weight, convolution.in_channels)}


def first_convolution(net: nn.Module) -> tuple[str, nn.Conv2d]:
    """Find the convolution that takes the pictures, and the name of its weight.

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

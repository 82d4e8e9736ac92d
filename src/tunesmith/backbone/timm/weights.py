"""Weights for timm's models: the library's download, and files fitted to other channels and image sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import timm
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_rel import resize_rel_pos_bias_table_simple
from torch import Tensor

from tunesmith.backbone.adapt import adapt_source
from tunesmith.compat.hub import quick_failure

POSITIONS = "pos_embed"
BIASES = ".relative_position_bias_table"
CLASSIFIERS = ("fc.", "classifier.", "head.", "head_dist.")
"""How the classifiers of timm's models are named, the second one of a distilled DeiT too."""


def download(name: str) -> dict[str, Tensor]:
    """Fetch timm's own weights of a model, by its name with or without the tag of the weights."""
    with quick_failure():
        tensors: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    return tensors


def fit(net: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fit weights to a model for other channels or another image size.

    Filters and position embeddings become, to the bit, what timm makes of its downloads. Tables of relative positions
    are resampled bicubically, as by the authors of Swin: timm's own way indexes tensors as torch is about to forbid.
    What is of the right shape stays as it is, and what cannot be fitted is left to be refused by its name.

    Args:
        net: The model.
        tensors: Weights under its own names.
    """
    own = net.state_dict()
    fitted = {}
    for name, tensor in adapt_source(net, tensors).items():
        if name in own and own[name].shape != tensor.shape and own[name].shape[-1] == tensor.shape[-1]:
            if name == POSITIONS:
                tensor = _fit_positions(net, tensor)
            elif name.endswith(BIASES):
                window = net.get_submodule(name.removesuffix(BIASES)).window_size
                tensor = resize_rel_pos_bias_table_simple(tensor, window, own[name].shape)
        fitted[name] = tensor
    return fitted


def _fit_positions(net: Any, tensor: Tensor) -> Tensor:
    """Resample position embeddings ``(1, T, D)`` of a square grid; class and register tokens keep theirs."""
    prefix = 0 if net.no_embed_class else net.num_prefix_tokens
    patches = tensor.shape[1] - prefix
    if tensor.ndim != 3 or math.isqrt(max(patches, 0)) ** 2 != patches:
        return tensor
    resampled: Tensor = resample_abs_pos_embed(tensor, new_size=net.patch_embed.grid_size, num_prefix_tokens=prefix)
    return resampled

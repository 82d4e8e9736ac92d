"""Fetch weights for timm models, and fit weights to other channels and image sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import timm
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_rel import resize_rel_pos_bias_table_simple
from torch import Tensor

from tunesmith.backbone.adapt import adapt_source
from tunesmith.backbone.timm.families import Library
from tunesmith.compat.hub import quick_failure

POSITIONS = "pos_embed"
BIASES = ".relative_position_bias_table"
CLASSIFIERS = ("fc.", "classifier.", "head.", "head_dist.")
"""Prefixes of timm's classifiers, including the second one of a distilled DeiT."""


def download(name: str) -> dict[str, Tensor]:
    """Download timm's weights of a model, given by name with or without the tag of the weights."""
    with quick_failure():
        tensors: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    return tensors


def fit(net: Library, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fit weights to a model for other channels or another image size.

    Filters and position embeddings match, bit for bit, what timm makes of its downloads. Relative position tables are
    resampled bicubically, as the authors of Swin do (Liu et al. 2021): timm's own method uses an indexing that torch is
    about to forbid. Tensors of the right shape are returned unchanged, and those that cannot be fitted too, so that
    loading rejects them by name.

    Args:
        net: The model.
        tensors: Weights by the model's own names.
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


def _fit_positions(net: Library, tensor: Tensor) -> Tensor:
    """Resample position embeddings ``(1, T, D)`` of a square grid; class and register tokens keep theirs."""
    prefix = 0 if net.no_embed_class else net.num_prefix_tokens
    patches = tensor.shape[1] - prefix
    if tensor.ndim != 3 or math.isqrt(max(patches, 0)) ** 2 != patches:
        return tensor
    resampled: Tensor = resample_abs_pos_embed(tensor, new_size=net.patch_embed.grid_size, num_prefix_tokens=prefix)
    return resampled

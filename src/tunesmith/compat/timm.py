"""What tunesmith uses of timm beyond its documentation; imported where a model of the library is at hand."""

from __future__ import annotations

from typing import Any

from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from tunesmith.compat.required import require

for _kind in (VisionTransformer, Eva):
    require("timm", _kind, "_pos_embed")


def embed(net: Any, x: Tensor) -> Tensor:
    """Cut images ``(B, C, H, W)`` into patches, and add what a vision transformer adds to them, positions included.

    Args:
        net: A `VisionTransformer` or `Eva`, or what derives from one.
        x: The images.

    Returns:
        Tokens ``(B, T, D)``, those of classes and registers in front.
    """
    embedded = net._pos_embed(net.patch_embed(x))  # tokens, beside rotary positions where the model has them
    tokens: Tensor = embedded[0] if isinstance(embedded, tuple) else embedded
    return tokens

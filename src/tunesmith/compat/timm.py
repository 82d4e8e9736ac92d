"""Use what timm does not document; imported only where one of its models is used."""

from __future__ import annotations

from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from tunesmith.compat.required import require

for _kind in (VisionTransformer, Eva):
    require("timm", _kind, "_pos_embed")


def embed(net: VisionTransformer | Eva, x: Tensor) -> Tensor:
    """Embed images ``(B, C, H, W)`` as patch tokens with positions.

    Returns:
        Tokens ``(B, T, D)``, class and register tokens first.
    """
    embedded = net._pos_embed(net.patch_embed(x))  # with rotary positions, a tuple
    tokens: Tensor = embedded[0] if isinstance(embedded, tuple) else embedded
    return tokens

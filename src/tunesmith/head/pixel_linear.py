"""Map each pixel of the last map to outputs with one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from tunesmith.contract.features import Features, MapInfo, Needs, OutputPer
from tunesmith.errors import ConfigError


class PixelLinear(nn.Module):
    """Dropout and one linear layer on each pixel of the last map, resized bilinearly to the image.

    The weight is initialised with normal noise of standard deviation 0.01, the bias with zero: the first loss is about
    log K.

    Args:
        num_outputs: Outputs K per pixel.
        map_info: Channels and stride of each map.
        dropout: Probability of dropping a channel of a map, from 0 to below 1.

    Raises:
        ConfigError: The dropout is out of range, or the backbone has no maps.
    """

    needs: ClassVar[Needs] = Needs(maps=(-1,))
    output_per: ClassVar[OutputPer] = "pixel"

    def __init__(self, num_outputs: int, map_info: Sequence[MapInfo], dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected head.dropout to be from 0 to below 1 but got {dropout}.")
        if not map_info:
            raise ConfigError(
                "Expected a backbone with maps for head=pixel_linear but got one without; use backbone=timm."
            )
        self.stride = map_info[-1].stride
        self.dropout = nn.Dropout2d(dropout)
        self.output = nn.Conv2d(map_info[-1].channels, num_outputs, 1)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)  # type: ignore[arg-type]  # there is one

    def forward(self, features: Features) -> Tensor:
        """Map features, the last of ``maps`` ``(B, C, h, w)``, to outputs ``(B, K, H, W)`` in the image's size."""
        outputs = self.output(self.dropout(features.maps[-1]))
        size = [round(side * self.stride) for side in outputs.shape[-2:]]
        return F.interpolate(outputs, size=size, mode="bilinear", align_corners=False)

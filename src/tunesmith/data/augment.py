"""Random augmentation of uint8 pictures, as presets.

Random numbers come from torch's global stream, which the dataset seeds for each sample.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

Preset = Literal["none", "light", "rotations", "auto"]


def has_margin(preset: Preset) -> bool:
    """Whether the preset cuts a random crop, and so needs a picture larger than what the backbone sees."""
    return preset in ("light", "auto")


def augmentation(preset: Preset, size: int) -> nn.Module | None:
    """Build a preset: uint8 ``(C, H, W)``, C 1 or 3, to uint8 ``(C, size, size)``.

    Args:
        preset: ``light`` crops and flips left to right; ``rotations`` takes one of the eight symmetries of the square,
            for pictures without an up and a down; ``auto`` is ``light`` and then TrivialAugment (Müller and Hutter,
            2021, https://arxiv.org/abs/2103.10158); ``none`` is nothing.
        size: Height and width in pixels of what comes out.

    Returns:
        The augmentation, or ``None`` where there is nothing random.
    """
    light: list[nn.Module] = [ScaledCrop(size), v2.RandomHorizontalFlip()]
    chosen: dict[str, list[nn.Module]] = {
        "none": [],
        "light": light,
        "rotations": [v2.RandomHorizontalFlip(), QuarterTurn()],
        "auto": [*light, v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)],
    }
    return v2.Compose(chosen[preset]) if chosen[preset] else None


class ScaledCrop(nn.Module):
    """Cuts a random square and brings it to size.

    Its side is drawn between ``size`` and the picture's shorter side, so that things are seen up to 8/7 as large as in
    evaluation, and as large at times. With a fixed side they would always be larger than in evaluation, which costs
    accuracy (Touvron et al., 2019, https://arxiv.org/abs/1906.06423).

    Args:
        size: Height and width in pixels of what comes out.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, picture: Tensor) -> Tensor:
        """Cut ``(C, size, size)`` from ``(C, H, W)``, H and W at least ``size``."""
        height, width = picture.shape[-2:]
        side = _draw(self.size, min(height, width))
        top, left = _draw(0, height - side), _draw(0, width - side)
        cut: Tensor = F.resized_crop(picture, top, left, side, side, [self.size, self.size], antialias=True)
        return cut


class QuarterTurn(nn.Module):
    """Turns by 0, 90, 180 or 270 degrees, exactly."""

    def forward(self, picture: Tensor) -> Tensor:
        """Turn ``(C, H, H)``."""
        return torch.rot90(picture, _draw(0, 3), (-2, -1))


def _draw(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))

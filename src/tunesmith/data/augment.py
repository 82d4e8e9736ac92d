"""Random augmentation of uint8 pictures: presets, and random erasing after them.

Random numbers come from torch's global stream, which the dataset seeds for each sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from tunesmith.contracts import Preprocess
from tunesmith.errors import DataError

Preset = Literal["none", "light", "rotations", "slight", "auto", "randaugment"]


@dataclass(frozen=True)
class Augment:
    """What happens to a training picture.

    Attributes:
        preset: See `augmentation`.
        magnitude: Of the operations of ``randaugment``, 0 to 30.
        erase: Probability that a rectangle of 2 to 33 % of the picture is erased (Zhong et al., 2017,
            https://arxiv.org/abs/1708.04896).
    """

    preset: Preset
    magnitude: int = 9
    erase: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.erase <= 1 and 0 <= self.magnitude <= 30):
            raise DataError(
                "Expected data.erase from 0 to 1 and data.magnitude from 0 to 30 "
                f"but got {self.erase} and {self.magnitude}."
            )

    @property
    def margin(self) -> bool:
        """Whether a random crop is cut, which needs a picture larger than what the backbone sees."""
        return self.preset in ("light", "auto", "randaugment")

    def build(self, preprocess: Preprocess, channels: Literal[1, 3]) -> nn.Module | None:
        """Build it for pictures of 1 or 3 channels; ``None`` where there is nothing random."""
        steps = [augmentation(self.preset, preprocess.size, self.magnitude)]
        if self.erase:
            mean = preprocess.mean  # what is erased becomes 0 when it is normalised
            fill = [255 * m for m in mean] if channels == len(mean) else 255 * sum(mean) / len(mean)
            steps.append(v2.RandomErasing(self.erase, value=fill))
        found = [step for step in steps if step is not None]
        return v2.Compose(found) if found else None


def augmentation(preset: Preset, size: int, magnitude: int = 9) -> nn.Module | None:
    """Build a preset: uint8 ``(C, H, W)``, C 1 or 3, to uint8 ``(C, size, size)``.

    Args:
        preset: ``light`` crops and flips left to right; ``rotations`` takes one of the eight symmetries of the square,
            for pictures without an up and a down; ``slight`` is ``rotations`` and then a turn by up to 3 degrees and a
            scale within 2 % (Deitsch et al., 2019, https://arxiv.org/abs/1807.02894); ``auto`` is ``light`` and then
            TrivialAugment (Müller and Hutter, 2021, https://arxiv.org/abs/2103.10158); ``randaugment`` is ``light`` and
            then two operations of RandAugment (Cubuk et al., 2019, https://arxiv.org/abs/1909.13719); ``none`` is
            nothing.
        size: Height and width in pixels of what comes out.
        magnitude: Of RandAugment's operations.

    Returns:
        The augmentation, or ``None`` where there is nothing random.
    """
    light: list[nn.Module] = [ScaledCrop(size), v2.RandomHorizontalFlip()]
    symmetry: list[nn.Module] = [v2.RandomHorizontalFlip(), QuarterTurn()]
    chosen: dict[str, list[nn.Module]] = {
        "none": [],
        "light": light,
        "rotations": symmetry,
        "slight": [*symmetry, v2.RandomAffine(3, scale=(0.98, 1.02), interpolation=InterpolationMode.BILINEAR)],
        "auto": [*light, v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)],
        "randaugment": [*light, v2.RandAugment(magnitude=magnitude, interpolation=InterpolationMode.BILINEAR)],
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

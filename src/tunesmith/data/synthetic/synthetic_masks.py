"""Generate images with exact masks: reddish discs and greenish squares on grey noise."""

from __future__ import annotations

from typing import final

import numpy as np
from typing_extensions import Unpack

from tunesmith.contract.batch import IGNORED
from tunesmith.data.arguments import MaskedArguments
from tunesmith.data.image.masked import MaskedData
from tunesmith.data.table import Ints, Pixels, Table
from tunesmith.errors import DataError

CLASSES = ("background", "disc", "square")
COLOURS = np.array([[0.8, 0.3, 0.3], [0.3, 0.7, 0.3]])
"""Mean colour of a disc and of a square, on the scale 0 to 1."""


@final
class SyntheticMasks(MaskedData):
    """Up to three shapes per image.

    Args:
        samples: Number of images.
        size: Height and width in pixels.
        noise: Standard deviation of each pixel's noise, on the scale 0 to 1.
        border: Width in pixels of the ignored border of each shape, as in the masks of Pascal VOC.
        data_seed: Seed of the images; neither the split's nor the run's.
        **common: Arguments of `MaskedData`.

    Raises:
        DataError: A number is out of range.
    """

    def __init__(
        self,
        *,
        samples: int = 300,
        size: int = 32,
        noise: float = 0.1,
        border: int = 1,
        data_seed: int = 0,
        **common: Unpack[MaskedArguments],
    ) -> None:
        super().__init__(**common)
        if not (samples >= 2 and size >= 16 and noise >= 0 and border >= 0):
            raise DataError(
                "Expected samples >= 2, size >= 16, noise >= 0 and border >= 0 "
                f"but got samples={samples}, size={size}, noise={noise}, border={border}."
            )
        self.samples, self.size, self.noise, self.border = samples, size, noise, border
        self.data_seed = data_seed

    def load(self) -> Table:
        """Generate images and masks."""
        rng = np.random.default_rng(self.data_seed)
        drawn = [draw(rng, self.size, self.noise, self.border) for _ in range(self.samples)]
        return Table(
            samples=np.stack([image for image, _ in drawn]),
            targets=np.stack([mask for _, mask in drawn]),
            class_names=CLASSES,
            names=np.array([f"shapes{i:05d}" for i in range(self.samples)]),
            kind="mask",
        )


def draw(rng: np.random.Generator, size: int, noise: float, border: int) -> tuple[Pixels, Ints]:
    """Draw an image, uint8 ``(size, size, 3)``, and its mask ``(size, size)``; a later shape covers earlier ones."""
    y, x = np.mgrid[:size, :size]
    image, mask = np.full((size, size, 3), 0.5), np.zeros((size, size), np.int64)
    for _ in range(rng.integers(1, 4)):
        kind, radius = int(rng.integers(1, 3)), rng.uniform(size / 8, size / 4)
        across, down = (np.abs(axis - rng.uniform(0, size)) for axis in (x, y))
        distance = np.hypot(across, down) if kind == 1 else np.maximum(across, down)
        image[distance <= radius] = COLOURS[kind - 1] + rng.uniform(-0.1, 0.1, 3)
        mask[distance <= radius] = kind
        mask[np.abs(distance - radius) < border / 2] = IGNORED
    image += rng.normal(0, noise, image.shape)
    pixels: Pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    return pixels, mask

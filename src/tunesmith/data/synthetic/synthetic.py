"""Generate images with known answers: coloured stripes, whose width is the class.

Direction, position, colour and contrast are independent of the class, so flips and rotations do not change it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from tunesmith.data.arguments import ImageArguments
from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Ints, Pixels, Table
from tunesmith.errors import DataError


class Synthetic(ImageData):
    """Coloured stripes.

    Args:
        samples: Number of images, distributed evenly over the classes.
        classes: Number of classes; the stripes' period ranges from 4 pixels to half the size in equal ratios.
        size: Height and width in pixels.
        noise: Standard deviation of each pixel's noise, on the scale 0 to 1; the stripes' amplitude is 0.1 to 0.3.
        data_seed: Seed of the images; neither the split's nor the run's.
        **common: Arguments of `ImageData`.
    """

    def __init__(
        self,
        *,
        samples: int = 600,
        classes: int = 3,
        size: int = 32,
        noise: float = 0.1,
        data_seed: int = 0,
        **common: Unpack[ImageArguments],
    ) -> None:
        super().__init__(**common)
        if not (2 <= classes <= samples and size >= 12 and noise >= 0):
            raise DataError(
                "Expected 2 <= classes <= samples, size >= 12 and noise >= 0 "
                f"but got classes={classes}, samples={samples}, size={size}, noise={noise}."
            )
        self.samples = samples
        self.classes = classes
        self.size = size
        self.noise = noise
        self.data_seed = data_seed

    def load(self) -> Table:
        """Generate the images."""
        periods = np.geomspace(4, self.size / 2, self.classes)
        targets = np.arange(self.samples, dtype=np.int64) % self.classes
        return Table(
            samples=stripes(periods, targets, self.size, self.noise, self.data_seed),
            targets=targets,
            class_names=tuple(f"period_{p:.1f}" for p in periods),
            names=np.array([f"stripes{i:05d}" for i in range(self.samples)]),
        )


def stripes(periods: NDArray[np.float64], targets: Ints, size: int, noise: float, seed: int) -> Pixels:
    """Draw images of stripes.

    Args:
        periods: Period in pixels of each class ``(K,)``.
        targets: Class of each image ``(N,)``.
        size: Height and width in pixels.
        noise: Standard deviation of each pixel's noise, on the scale 0 to 1.
        seed: Seed of all random numbers.

    Returns:
        uint8 ``(N, size, size, 3)``.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = np.empty((len(targets), size, size, 3), np.uint8)
    for i, period in enumerate(periods[targets]):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        colour, contrast = rng.uniform(0.3, 0.7, 3), rng.uniform(0.1, 0.3, 3)
        image = colour + contrast * wave[..., None] + rng.normal(0, noise, (size, size, 3))
        images[i] = np.rint(image.clip(0, 1) * 255)
    return images

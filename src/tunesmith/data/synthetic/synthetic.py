"""Generated images with a known answer: coloured stripes, the class is how wide they are.

For trying things out within seconds, and for tests. The direction, position, colour and contrast of the stripes say
nothing about the class, so flips and turns leave the answer as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Ints, Pixels, Table
from tunesmith.errors import DataError


class Synthetic(ImageData):
    """Stripes in colour.

    Args:
        samples: Number of images, as equal as possible for every class.
        classes: Number of classes; the stripes' period runs from 4 pixels to half the size in equal ratios.
        size: Height and width in pixels.
        noise: Standard deviation of what is added to each pixel, on the scale 0 to 1; the stripes' amplitude is 0.1 to
            0.3.
        data_seed: Of the images; neither the split's nor the run's.
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
        **common: Any,
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


def stripes(
    periods: np.ndarray[Any, np.dtype[np.float64]], targets: Ints, size: int, noise: float, seed: int
) -> Pixels:
    """Draw images.

    Args:
        periods: Period in pixels of each class ``(K,)``.
        targets: Class of each image ``(N,)``.
        size: Height and width in pixels.
        noise: Standard deviation of each pixel's noise, on the scale 0 to 1.
        seed: Of everything random.

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

"""Read scikit-learn's handwritten digits: 1,797 grey images of 8 x 8 pixels.

Originally from the UCI repository (Alpaydin and Kaynak, 1998, "Optical Recognition of Handwritten Digits", doi
10.24432/C50P49; CC BY 4.0).
"""

from __future__ import annotations

import numpy as np

from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Table


class Digits(ImageData):
    """Scikit-learn's digits; use no preset that flips."""

    def load(self) -> Table:
        """Read the images, whose values range from 0 to 16."""
        from sklearn.datasets import load_digits  # takes 2 s to import

        pixels, targets = load_digits().images, load_digits().target
        return Table(
            samples=np.rint(pixels * 255 / 16).astype(np.uint8),
            targets=targets.astype(np.int64),
            class_names=tuple("0123456789"),
            names=np.array([f"digit{i:04d}" for i in range(len(targets))]),
            channels=1,
        )

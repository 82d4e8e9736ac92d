"""Images with a class per pixel: the mask of each is cropped and scaled as the image is."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from tunesmith.contract.batch import IGNORED
from tunesmith.data.dataset import ImageDataset
from tunesmith.data.image.decode import Decode
from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Ints
from tunesmith.errors import DataError

_IGNORED = 255
"""`IGNORED` in a mask of bytes."""


@final
class MaskDataset(ImageDataset):
    """An `ImageDataset` whose targets are masks, served in the size of the image."""

    def target(self, row: int) -> Tensor:
        """The mask of a row of the table in the image's size ``(size, size)``, int64."""
        return fit_mask(self.targets[row], self.decoder)


class MaskedData(ImageData, ABC):
    """Images with masks.

    Args:
        augment: ``none``: masks would not follow what moves pixels.
        test_views: ``none``, likewise.
        **common: Arguments of `ImageData`.

    Raises:
        DataError: An augmentation or views were asked for.
    """

    split_dataset = MaskDataset

    def __init__(self, *, augment: str = "none", test_views: str = "none", **common: Any) -> None:
        for name, value in (("augment", augment), ("test_views", test_views)):
            if value != "none":
                raise DataError(
                    f"Expected data.{name}=none for images with masks, since masks do not follow images whose pixels "
                    f"are moved, but got {value}."
                )
        super().__init__(augment="none", test_views="none", **common)


def fit_mask(mask: Ints, decoder: Decode) -> Tensor:
    """Crop a mask ``(H, W)`` as a decoder crops its image, and scale it to the same size by nearest neighbour."""
    pixels = np.where(mask == IGNORED, _IGNORED, mask).astype(np.uint8)
    fitted = replace(decoder, channels=1, interpolation="nearest")(pixels)[0].long()
    return torch.where(fitted == _IGNORED, IGNORED, fitted)

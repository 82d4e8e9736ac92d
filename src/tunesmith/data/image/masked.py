"""Define the data module that every source of images with masks derives from."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from typing import final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from tunesmith.contract.batch import IGNORED
from tunesmith.data.arguments import MaskedArguments
from tunesmith.data.dataset import ImageDataset
from tunesmith.data.image.decode import Decode
from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Ints
from tunesmith.errors import DataError

_IGNORED = 255
"""`IGNORED` in a mask of bytes."""


@final
class MaskDataset(ImageDataset):
    """An `ImageDataset` whose targets are masks, cropped and scaled like their images."""

    def target(self, row: int) -> Tensor:
        """Return the mask of a row of the table in the image's size ``(size, size)``, int64."""
        return fit_mask(self.targets[row], self.decoder)


class MaskedData(ImageData, ABC):
    """Images with masks.

    Args:
        augment: Only ``none``, since masks do not follow an augmentation.
        test_views: Only ``none``, for the same reason.
        **common: Arguments of `ImageData`.

    Raises:
        DataError: Augmentation or views are configured.
    """

    split_dataset = MaskDataset

    def __init__(self, *, augment: str = "none", test_views: str = "none", **common: Unpack[MaskedArguments]) -> None:
        for name, value in (("augment", augment), ("test_views", test_views)):
            if value != "none":
                raise DataError(
                    f"Expected data.{name}=none for images with masks, since masks do not follow images whose pixels "
                    f"are moved, but got {value}."
                )
        super().__init__(augment="none", test_views="none", **common)


def fit_mask(mask: Ints, decoder: Decode) -> Tensor:
    """Crop a mask ``(H, W)`` like its image, and scale it to the same size by nearest neighbour."""
    pixels = np.where(mask == IGNORED, _IGNORED, mask).astype(np.uint8)
    fitted = replace(decoder, channels=1, interpolation="nearest")(pixels)[0].long()
    return torch.where(fitted == _IGNORED, IGNORED, fitted)

"""Define the modality of images: files, or arrays of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Literal, final

import numpy as np
from torch import Tensor

from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.restore import restore
from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.base import Modality


@final
@dataclass(frozen=True)
class ImagePreprocess:
    """How images must be prepared for a backbone, taken from its weights.

    Attributes:
        size: Height and width of the backbone's input in pixels.
        interpolation: ``bilinear``, ``bicubic`` or ``nearest``, as torchvision names them.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.
    """

    modality: ClassVar[str] = "image"
    attention: ClassVar[str] = ""

    size: int = 224
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @property
    def channels(self) -> int:
        """Channels that the backbone expects."""
        return len(self.mean)

    def check(self) -> None:
        """Refuse a size below 1 pixel.

        Raises:
            ConfigError: The size is below 1.
        """
        if self.size < 1:
            raise ConfigError(f"Expected backbone.image_size to be at least 1 pixel but got {self.size}.")

    def blank(self, count: int, like: Tensor) -> Tensor:
        """Return black images ``(B, C, H, W)``."""
        return like.new_zeros(count, self.channels, self.size, self.size)

    def map_side(self) -> int:
        """Return the height and width of an image in pixels."""
        return self.size

    def backbone_options(self) -> dict[str, object]:
        """Return the image size, on which position embeddings depend."""
        return {"image_size": self.size}


@final
class ImageModality(Modality):
    """Image samples: paths, or pixels ``(H, W)`` or ``(H, W, 3)``, uint8."""

    name = "image"
    plural = "images"
    column = "file"
    backbone = "backbone=timm, for example"
    listed = ": tunesmith check lists them"

    def own(self, preprocess: Preprocess) -> ImagePreprocess:
        """Return a backbone's preprocessing of images.

        Raises:
            ConfigError: The backbone is for another modality.
        """
        self.check_backbone(preprocess)
        assert isinstance(preprocess, ImagePreprocess)
        return preprocess

    def channels(self, channels: int) -> int:
        """Check that the number of channels is 1 (grey) or 3 (RGB)."""
        if channels not in (1, 3):
            raise DataError(f"Expected channels to be 1 (grey) or 3 (RGB) but got {channels}.")
        return channels

    def files(self, samples: Sequence[object]) -> list[Path]:
        """Return the samples that are files."""
        return [sample for sample in samples if isinstance(sample, Path)]

    def content(self, sample: object, whole: bool, head: int) -> bytes:
        """Return shape and pixels, or the bytes of a file; see `Modality.content`."""
        if isinstance(sample, np.ndarray):
            return repr(sample.shape).encode() + sample.tobytes()
        assert isinstance(sample, Path)
        if whole:
            return sample.read_bytes()
        with sample.open("rb") as file:
            return sample.stat().st_size.to_bytes(8, "little") + file.read(head)

    def restored(self, values: Mapping[str, object]) -> ImagePreprocess:
        """Restore the preprocessing as recorded."""
        return restore(ImagePreprocess, values)

    def gallery(self, mistakes: Sequence[tuple[str, object]], wandb: ModuleType) -> object:
        """Make W&B images with captions from pixels ``(H, W, C)``, uint8."""
        return [wandb.Image(image, caption=caption) for caption, image in mistakes]


MODALITY = ImageModality()

"""Decode files to pixels, in the same way for training, evaluation and prediction.

Files are not trusted: formats are restricted, and the size is read from the header before decoding (a PNG of 641 KB can
decode to 1.2 GB).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from tunesmith.contract.spec import DataSpec
from tunesmith.data import workers
from tunesmith.data.table import Pixels
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess

FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm"),
}
"""Pillow's names of the supported formats, and their suffixes."""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

MAX_PIXELS = 80_000_000
"""Maximum number of pixels of an image; below 89 million, where Pillow begins to warn."""

MAX_ASPECT = 2.0
"""Maximum ratio of longer to shorter side before a random crop, which limits memory for panoramas."""

MARGIN = 8 / 7
"""Ratio of the sizes before and after a random crop; the usual 256 over 224."""

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class ImageError(DataError):
    """Raised for an image that cannot be used, with the file and the reason.

    A loader worker wraps the message of an exception into a traceback; this extracts it again.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{ImageError.__name__}: ")[2].strip())


@dataclass(frozen=True)
class Decode:
    """The deterministic decoder: decode, crop the centre, resize.

    Attributes:
        size: Height and width of the backbone's input in pixels.
        channels: 1 (grey) or 3 (RGB).
        interpolation: Interpolation of the resizing.
        margin: Whether a random crop follows: the shorter side then becomes ``8/7 * size``, and the aspect ratio is
            kept up to 2 to 1. Otherwise the result is the centre square.
    """

    size: int
    channels: Literal[1, 3]
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    margin: bool = False

    @property
    def side(self) -> int:
        """Shorter side of the output in pixels."""
        return round(self.size * MARGIN) if self.margin else self.size

    @property
    def max_bytes(self) -> int:
        """Maximum bytes per decoded image."""
        return int(self.channels * self.side**2 * (MAX_ASPECT if self.margin else 1))

    def __call__(self, source: Path | Pixels) -> Tensor:
        """Decode a file, or convert pixels ``(H, W)`` or ``(H, W, 3)``, to uint8 ``(C, H, W)``.

        Raises:
            ImageError: The file is missing, too large, of another format, or damaged.
        """
        mode: Literal["L", "RGB"] = "L" if self.channels == 1 else "RGB"
        if isinstance(source, np.ndarray):
            return self._fit(Image.fromarray(source).convert(mode))
        try:
            with workers.reading(source), Image.open(source, formats=tuple(FORMATS)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise DataError(f"{width} x {height} pixels are more than {MAX_PIXELS // 10**6} million")
                # A large JPEG decodes several times faster at a reduced size; twice the output size keeps the quality.
                image.draft(mode, (2 * self.side, 2 * self.side))
                ImageOps.exif_transpose(image, in_place=True)
                return self._fit(_convert(image, mode))
        except Exception as err:  # Pillow raises nearly anything for a damaged file
            raise ImageError(f"Expected a readable image but got {source}: {reason(err)}.") from err

    def _fit(self, image: Image.Image) -> Tensor:
        width, height = image.size
        shorter, aspect = min(width, height), MAX_ASPECT if self.margin else 1.0
        w, h = min(width, shorter * aspect), min(height, shorter * aspect)
        left, top = (width - w) / 2, (height - h) / 2
        # Cropping within the resize reads no discarded pixels, and never enlarges a panorama as a whole.
        image = image.resize(
            (round(self.side * w / shorter), round(self.side * h / shorter)),
            _RESAMPLING[self.interpolation],
            box=(left, top, left + w, top + h),
            reducing_gap=3.0,
        )
        pixels = torch.from_numpy(np.array(image))
        return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def channels_for(preprocess: ImagePreprocess, spec: DataSpec) -> Literal[1, 3]:
    """Return the number of channels to decode to.

    Raises:
        DataError: The backbone takes another number.
    """
    if preprocess.channels not in (spec.channels, 3):
        grey = "" if preprocess.channels != 1 else ", or data.channels=1 with data=image_folder or image_table"
        raise DataError(
            f"Expected images of {preprocess.channels} channel(s), as the backbone takes, "
            f"but got {spec.channels}; use backbone.in_channels={spec.channels}{grey}."
        )
    return 1 if spec.channels == 1 else 3


def _convert(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    # Pillow would clip 16 bits to 255. It represents them as 32 bits in a PGM and, in older versions, in a PNG.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise DataError("expected 8 or 16 bits per channel, not 32")
    elif image.has_transparency_data:  # the colour of a transparent pixel is arbitrary; white is what viewers show
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def reason(err: BaseException) -> str:
    """Explain in a few words why an image could not be read."""
    if isinstance(err, FileNotFoundError):
        return "there is no such file"
    if isinstance(err, UnidentifiedImageError):
        return f"none of the formats {', '.join(FORMATS)}"
    return (str(err) or type(err).__name__).rstrip(".")

"""Augment batches of uint8 images: random presets and random erasing, or views in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from tunesmith.data.image.inputs import views
from tunesmith.data.randomness import derive, preserved, seed_streams
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess

Preset = Literal["none", "light", "rotations", "slight", "auto", "randaugment", "flips_in_turn", "symmetries_in_turn"]

IN_TURN: Mapping[str, Literal["flips", "symmetries"]] = {
    "flips_in_turn": "flips",
    "symmetries_in_turn": "symmetries",
}
"""Presets that are not random, and the views that they show; see `InTurn`."""


class Augmentation(Protocol):
    """Augments the training images of a batch.

    Attributes:
        views: Number of epochs after which the views of an image repeat; 0 for never.
        seeded: Whether it depends on the run's seed.
    """

    views: int
    seeded: bool

    def draw(self, seed: int, epoch: int, row: int, round_: int) -> int:
        """Draw the augmentation of a sample, as one number of 63 bits.

        Args:
            seed: Seed of the run.
            epoch: The epoch.
            row: Row of the sample in the data's table.
            round_: How often the epoch drew the sample before.
        """
        ...

    def __call__(self, images: Tensor | Sequence[Tensor], draws: Sequence[int]) -> Tensor:
        """Augment B images, uint8 ``(C, H, W)`` of any sizes, to ``(B, C, size, size)``, on their device."""
        ...


@dataclass(frozen=True)
class Augment:
    """The configuration of an augmentation.

    Attributes:
        preset: See `augmentation`.
        magnitude: Strength of the operations of ``randaugment``, 0 to 30.
        erase: Probability that a rectangle of 2 to 33 % of the image is erased (Zhong et al., 2017,
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
        if self.erase and self.preset in IN_TURN:
            raise DataError(f"Expected data.erase=0 with data.augment={self.preset}, which leaves nothing to chance.")

    @property
    def margin(self) -> bool:
        """Whether there is a random crop, which needs images larger than the backbone's input."""
        return self.preset in ("light", "auto", "randaugment")

    def build(self, preprocess: ImagePreprocess, channels: Literal[1, 3]) -> Augmentation | None:
        """Build the augmentation for images of 1 or 3 channels; ``None`` if there is nothing to do."""
        if self.preset in IN_TURN:
            return InTurn(IN_TURN[self.preset])
        steps = [augmentation(self.preset, preprocess.size, self.magnitude)]
        if self.erase:
            mean = preprocess.mean  # normalising turns erased pixels into 0
            fill = [255 * m for m in mean] if channels == len(mean) else 255 * sum(mean) / len(mean)
            steps.append(v2.RandomErasing(self.erase, value=fill))
        found = [step for step in steps if step is not None]
        return AtRandom(v2.Compose(found)) if found else None


@final
class AtRandom:
    """Augments at random, as a function of (seed, epoch, row, round); draws on the CPU for any device.

    Args:
        steps: Maps uint8 ``(C, H, W)`` to uint8 ``(C, size, size)``, drawing from torch's global stream.
    """

    views, seeded = 0, True

    def __init__(self, steps: Callable[[Tensor], Tensor]) -> None:
        self.steps = steps

    def draw(self, seed: int, epoch: int, row: int, round_: int) -> int:
        """Draw the seed of a sample; see `Augmentation.draw`."""
        return derive("augment", seed, epoch, row, *([round_] if round_ else []))

    def __call__(self, images: Tensor | Sequence[Tensor], draws: Sequence[int]) -> Tensor:
        """Augment images; see `Augmentation`. The global random streams stay unchanged."""
        with preserved():
            return torch.stack([self._one(image, draw) for image, draw in zip(images, draws, strict=True)])

    def _one(self, image: Tensor, draw: int) -> Tensor:
        seed_streams(draw)
        return self.steps(image)

    def __repr__(self) -> str:
        return repr(self.steps)


@final
class InTurn:
    """Shows the views of an image in turn, by (epoch + row): not random, so a cache of a few views is complete.

    Args:
        kind: Kind of views; see `inputs.views`.
    """

    seeded = False

    def __init__(self, kind: Literal["flips", "symmetries"]) -> None:
        self.kind: Literal["flips", "symmetries"] = kind
        self.views = {"flips": 2, "symmetries": 8}[kind]

    def draw(self, seed: int, epoch: int, row: int, round_: int) -> int:
        """Return the index of the view, which differs by row, so that a batch has all of them."""
        return (epoch + row) % self.views

    def __call__(self, images: Tensor | Sequence[Tensor], draws: Sequence[int]) -> Tensor:
        """Return the views; see `Augmentation`."""
        stacked = images if isinstance(images, Tensor) else torch.stack(list(images))
        return views(stacked, self.kind, stacked.shape[-1])[torch.arange(len(stacked)), list(draws)]

    def __repr__(self) -> str:
        return f"InTurn({self.kind})"


def augmentation(preset: Preset, size: int, magnitude: int = 9) -> nn.Module | None:
    """Build a preset: uint8 ``(C, H, W)``, C 1 or 3, to uint8 ``(C, size, size)``.

    Args:
        preset: ``light``: crop, and flip left to right; ``rotations``: one of the eight symmetries of the square, for
            images without a top; ``slight``: ``rotations``, then rotation by up to 3 degrees and scaling within 2 %
            (Deitsch et al., 2019, https://arxiv.org/abs/1807.02894); ``auto``: ``light``, then TrivialAugment (Müller
            and Hutter, 2021, https://arxiv.org/abs/2103.10158); ``randaugment``: ``light``, then two operations of
            RandAugment (Cubuk et al., 2019, https://arxiv.org/abs/1909.13719); ``none``: nothing.
        size: Height and width of the output in pixels.
        magnitude: Strength of RandAugment's operations.

    Returns:
        The augmentation; ``None`` for ``none`` and for the presets of `IN_TURN`.
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
    return v2.Compose(chosen[preset]) if chosen.get(preset) else None


class ScaledCrop(nn.Module):
    """Crops a random square and resizes it.

    Its side is drawn between ``size`` and the image's shorter side, so objects appear 1 to 8/7 times as large as in
    evaluation. With a fixed side they would always appear larger, which costs accuracy (Touvron et al., 2019,
    https://arxiv.org/abs/1906.06423).

    Args:
        size: Height and width of the output in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Crop ``(C, H, W)``, H and W at least ``size``, to ``(C, size, size)``."""
        height, width = image.shape[-2:]
        side = _draw(self.size, min(height, width))
        top, left = _draw(0, height - side), _draw(0, width - side)
        cut: Tensor = F.resized_crop(image, top, left, side, side, [self.size, self.size], antialias=True)
        return cut


class QuarterTurn(nn.Module):
    """Rotates by 0, 90, 180 or 270 degrees, exactly."""

    def forward(self, image: Tensor) -> Tensor:
        """Rotate ``(C, H, H)``."""
        return torch.rot90(image, _draw(0, 3), (-2, -1))


def _draw(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))

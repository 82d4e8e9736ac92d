"""Augmentation of uint8 images, a batch at a time: random presets and random erasing, or views in turn."""

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
"""Presets without chance, and the views that they show; see `InTurn`."""


class Augmentation(Protocol):
    """Turns the training images of a batch into others.

    Attributes:
        views: After how many epochs an image comes again as it was; 0 for never.
        seeded: Whether it depends on the run's seed.
    """

    views: int
    seeded: bool

    def draw(self, seed: int, epoch: int, row: int, round_: int) -> int:
        """What it does to a sample, as one number of 63 bits.

        Args:
            seed: The run's.
            epoch: The epoch.
            row: The sample's row in the data's table.
            round_: How often the epoch has had the sample before.
        """
        ...

    def __call__(self, images: Tensor | Sequence[Tensor], draws: Sequence[int]) -> Tensor:
        """Turn uint8 ``(C, H, W)`` each, H and W its own, into ``(B, C, size, size)``, on their device."""
        ...


@dataclass(frozen=True)
class Augment:
    """What happens to a training image.

    Attributes:
        preset: See `augmentation`.
        magnitude: Of the operations of ``randaugment``, 0 to 30.
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
        """Whether a random crop is cut, which needs an image larger than what the backbone sees."""
        return self.preset in ("light", "auto", "randaugment")

    def build(self, preprocess: ImagePreprocess, channels: Literal[1, 3]) -> Augmentation | None:
        """Build it for images of 1 or 3 channels; ``None`` where there is nothing to do."""
        if self.preset in IN_TURN:
            return InTurn(IN_TURN[self.preset])
        steps = [augmentation(self.preset, preprocess.size, self.magnitude)]
        if self.erase:
            mean = preprocess.mean  # what is erased becomes 0 when it is normalised
            fill = [255 * m for m in mean] if channels == len(mean) else 255 * sum(mean) / len(mean)
            steps.append(v2.RandomErasing(self.erase, value=fill))
        found = [step for step in steps if step is not None]
        return AtRandom(v2.Compose(found)) if found else None


@final
class AtRandom:
    """Random numbers that are a function of (seed, epoch, row, round), drawn on the CPU for whatever device.

    Args:
        steps: uint8 ``(C, H, W)`` to uint8 ``(C, size, size)``; they draw from torch's global stream.
    """

    views, seeded = 0, True

    def __init__(self, steps: Callable[[Tensor], Tensor]) -> None:
        self.steps = steps

    def draw(self, seed: int, epoch: int, row: int, round_: int) -> int:
        """The seed of a sample; see `Augmentation.draw`."""
        return derive("augment", seed, epoch, row, *([round_] if round_ else []))

    def __call__(self, images: Tensor | Sequence[Tensor], draws: Sequence[int]) -> Tensor:
        """See `Augmentation`; the global random streams are left as they were."""
        with preserved():
            return torch.stack([self._one(image, draw) for image, draw in zip(images, draws, strict=True)])

    def _one(self, image: Tensor, draw: int) -> Tensor:
        seed_streams(draw)
        return self.steps(image)

    def __repr__(self) -> str:
        return repr(self.steps)


@final
class InTurn:
    """Every view of an image in turn, by (epoch + row): nothing is drawn, so a few kept views are all there are.

    Args:
        kind: As `inputs.views` has them.
    """

    seeded = False

    def __init__(self, kind: Literal["flips", "symmetries"]) -> None:
        self.kind: Literal["flips", "symmetries"] = kind
        self.views = {"flips": 2, "symmetries": 8}[kind]

    def draw(self, seed: int, epoch: int, row: int, round_: int) -> int:
        """Which view; see `Augmentation.draw`. Rows differ, so that a batch has all of them."""
        return (epoch + row) % self.views

    def __call__(self, images: Tensor | Sequence[Tensor], draws: Sequence[int]) -> Tensor:
        """See `Augmentation`."""
        stacked = images if isinstance(images, Tensor) else torch.stack(list(images))
        return views(stacked, self.kind, stacked.shape[-1])[torch.arange(len(stacked)), list(draws)]

    def __repr__(self) -> str:
        return f"InTurn({self.kind})"


def augmentation(preset: Preset, size: int, magnitude: int = 9) -> nn.Module | None:
    """Build a preset: uint8 ``(C, H, W)``, C 1 or 3, to uint8 ``(C, size, size)``.

    Args:
        preset: ``light`` crops and flips left to right; ``rotations`` takes one of the eight symmetries of the square,
            for images without an up and a down; ``slight`` is ``rotations`` and then a turn by up to 3 degrees and a
            scale within 2 % (Deitsch et al., 2019, https://arxiv.org/abs/1807.02894); ``auto`` is ``light`` and then
            TrivialAugment (Müller and Hutter, 2021, https://arxiv.org/abs/2103.10158); ``randaugment`` is ``light`` and
            then two operations of RandAugment (Cubuk et al., 2019, https://arxiv.org/abs/1909.13719); ``none`` is
            nothing; so are the presets of `IN_TURN` here.
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
    return v2.Compose(chosen[preset]) if chosen.get(preset) else None


class ScaledCrop(nn.Module):
    """Cuts a random square and brings it to size.

    Its side is drawn between ``size`` and the image's shorter side, so that things are seen up to 8/7 as large as in
    evaluation, and as large at times. With a fixed side they would always be larger than in evaluation, which costs
    accuracy (Touvron et al., 2019, https://arxiv.org/abs/1906.06423).

    Args:
        size: Height and width in pixels of what comes out.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Cut ``(C, size, size)`` from ``(C, H, W)``, H and W at least ``size``."""
        height, width = image.shape[-2:]
        side = _draw(self.size, min(height, width))
        top, left = _draw(0, height - side), _draw(0, width - side)
        cut: Tensor = F.resized_crop(image, top, left, side, side, [self.size, self.size], antialias=True)
        return cut


class QuarterTurn(nn.Module):
    """Turns by 0, 90, 180 or 270 degrees, exactly."""

    def forward(self, image: Tensor) -> Tensor:
        """Turn ``(C, H, H)``."""
        return torch.rot90(image, _draw(0, 3), (-2, -1))


def _draw(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))

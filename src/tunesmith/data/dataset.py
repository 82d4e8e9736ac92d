"""Serve the samples of a split as a torch dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, SupportsInt, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import NotRequired

from tunesmith.contract.batch import Activations
from tunesmith.data.image.augment import Augmentation
from tunesmith.data.image.batch_transform import collate
from tunesmith.data.image.decode import Decode
from tunesmith.data.image.memory import Memory, decode_all
from tunesmith.data.sampler import Key
from tunesmith.data.table import Floats, Images, Ints
from tunesmith.target.table.cells import Targets

Encoding = Mapping[str, Sequence[Tensor] | Ints]
"""Targets of N samples in several parts by name: vectors of differing lengths, or numbers ``(N,)``."""


class Sample(TypedDict):
    """One sample of a split.

    Attributes:
        input: An image, uint8 ``(C, H, W)``, or tokens ``(R, T)``; or its cached activations.
        target: Its target, or the parts of it.
        index: Row in the table; -1 for a sample that only fills a distributed batch.
        streams: Inputs and targets of further training samples by name.
    """

    input: Tensor | Activations
    target: int | Tensor | Mapping[str, int | Tensor]
    index: int
    weight: NotRequired[Tensor]
    meta: NotRequired[dict[str, object]]
    streams: NotRequired[dict[str, list[tuple[Tensor, Tensor]]]]


class CachedSamples(Protocol):
    """Activations that replace the samples of a split.

    Attributes:
        complete: Whether no image will be needed any more.
    """

    complete: bool

    def find(self, epoch: int, row: int) -> Activations | None:
        """Return the cached activations of a row of the table in an epoch; ``None`` if the image itself is needed."""
        ...


class Decoded(Protocol):
    """Decoded images that all runs share."""

    def __getitem__(self, row: int) -> Tensor:
        """Return the image in a row of the table, uint8 ``(C, H, W)``."""
        ...


class SplitDataset(Dataset[Sample], ABC):
    """The samples of a split with their targets, or their cached activations.

    Args:
        targets: Targets of the whole table.
        rows: Rows of the table in this split.
        weights: Weights of the whole table ``(N,)``; ``None`` if the data have none.

    Attributes:
        kept: Cached activations to serve in place of samples; ``None`` for none.
    """

    def __init__(self, targets: Targets | Encoding, rows: Ints, weights: Floats | None = None) -> None:
        self.targets = targets
        self.rows = rows
        self.weights = weights
        self.kept: CachedSamples | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key | int) -> Sample:
        """Return one sample.

        Args:
            key: From `EpochSampler`. A plain position, as from another sampler, counts as epoch 0 and is never served
                from the cache.
        """
        epoch, position, padding, round_, _ = key if isinstance(key, Key) else Key(0, key)
        row = int(self.rows[position])
        kept = self.kept.find(epoch, row) if self.kept is not None and isinstance(key, Key) else None
        meta = self.meta(row)
        if kept is None:
            meta |= self.drawn(epoch, row, round_)
        sample: Sample = {
            "input": self.input(position) if kept is None else kept,
            "target": self.target(row),
            "index": -1 if padding else row,
        }
        if meta:
            sample["meta"] = meta
        if self.weights is not None:
            sample["weight"] = torch.tensor(self.weights[row])
        return sample

    def target(self, row: int) -> int | Tensor | Mapping[str, int | Tensor]:
        """Return the target of a row of the table."""
        if isinstance(self.targets, Mapping):
            return {name: _plain(column[row]) for name, column in self.targets.items()}
        return _plain(self.targets[row])

    def meta(self, row: int) -> dict[str, object]:
        """Return the plain values of a row of the table that a batch keeps on the CPU."""
        return {}

    @abstractmethod
    def input(self, position: int) -> Tensor:
        """Return the sample at a position of the split: an image, uint8 ``(C, H, W)``, or tokens ``(R, T)``."""

    def drawn(self, epoch: int, row: int, round_: int) -> dict[str, int]:
        """Return the random draws of a sample, to be applied when its batch is on the device."""
        return {}

    @abstractmethod
    def shown(self, position: int) -> NDArray[np.uint8] | str:
        """Return the sample at a position of the split for display: an image ``(H, W, C)``, or a text."""

    @property
    def decodes(self) -> bool:
        """Whether samples are decoded on every access."""
        return False

    def collate(self, samples: list[Sample]) -> Mapping[str, object]:
        """Collate samples into a batch."""
        return collate(samples)


def _plain(value: object) -> int | Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    assert isinstance(value, SupportsInt), type(value)
    return int(value)


class ImageDataset(SplitDataset):
    """Decodes the images of a split; augmentation follows when their batch is on the device.

    The augmentation's draws depend on (seed, epoch, row, round) only, not on the worker, the batch or the split.

    Args:
        images: Images of the whole table.
        targets: Targets of the whole table: class indices ``(N,)``, labels or values ``(N, K)``, or masks.
        rows: Rows of the table in this split.
        decoder: Decodes and resizes.
        augmentation: The augmentation that will be applied.
        seed: Seed of the augmentation.
        weights: Weights of the whole table ``(N,)``; ``None`` if the data have none.
    """

    targets: Ints | Floats

    def __init__(
        self,
        images: Images,
        targets: Ints | Floats,
        rows: Ints,
        decoder: Decode,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        weights: Floats | None = None,
    ) -> None:
        super().__init__(targets, rows, weights)
        self.images = images
        self.decoder = decoder
        self.augmentation = augmentation
        self.seed = seed
        self.memory: Memory | None = None
        self.decoded: Decoded | None = None

    def drawn(self, epoch: int, row: int, round_: int) -> dict[str, int]:
        """Return the draw of the augmentation, if there is one."""
        return {} if self.augmentation is None else {"draw": self.augmentation.draw(self.seed, epoch, row, round_)}

    @property
    def needs_images(self) -> bool:
        """Whether any sample is served as an image."""
        return self.kept is None or not self.kept.complete

    @property
    def decodes(self) -> bool:
        """Whether images are decoded on every access."""
        return self.needs_images and self.memory is None and self.decoded is None

    def decode(self, position: int) -> Tensor:
        """Decode the image at a position of the split: uint8 ``(C, H, W)``."""
        return self.decoder(self.images[self.rows[position]])

    def input(self, position: int) -> Tensor:
        """Return the image at a position of the split, uint8 ``(C, H, W)``, from memory or the cache if possible."""
        if self.memory is not None:
            return self.memory[position]
        if self.decoded is not None:
            return self.decoded[int(self.rows[position])]
        return self.decode(position)

    def shown(self, position: int) -> NDArray[np.uint8]:
        """Return the image at a position of the split, as the model sees it ``(H, W, C)``."""
        image: NDArray[np.uint8] = self.input(position).permute(1, 2, 0).numpy()
        return image

    def remember(self, description: str) -> None:
        """Decode all images now and keep them in memory.

        Args:
            description: Text of the progress bar.

        Raises:
            DataError: Some images cannot be read.
        """
        if self.memory is None:
            self.memory = decode_all(self.decode, len(self), description)

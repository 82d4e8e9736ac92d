"""A split as a torch dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tunesmith.contract.batch import Activations
from tunesmith.data.image.augment import Augmentation
from tunesmith.data.image.batch_transform import collate
from tunesmith.data.image.decode import Decode
from tunesmith.data.image.memory import Memory, decode_all
from tunesmith.data.sampler import Key
from tunesmith.data.table import Floats, Images, Ints


class CachedSamples(Protocol):
    """What is served in place of images.

    Attributes:
        complete: Whether no image is needed from now on.
    """

    complete: bool

    def find(self, epoch: int, row: int) -> Activations | None:
        """What is kept of a row of the table, for an epoch; ``None`` where the image itself is needed."""
        ...


class Decoded(Protocol):
    """Decoded images that are kept for all runs."""

    def __getitem__(self, row: int) -> Tensor:
        """The image in a row of the table, uint8 ``(C, H, W)``."""
        ...


class SplitDataset(Dataset[dict[str, Any]], ABC):
    """The samples of a split, each with its target; or what is kept in place of a sample.

    Args:
        targets: Of the whole table: class indices ``(N,)``, labels or values ``(N, K)``, or N vectors; or several of
            these by name.
        rows: Rows of the table that the split holds.
        weights: Of the whole table ``(N,)``, where it has any.

    Attributes:
        kept: What is served in place of samples; ``None`` for nothing.
    """

    def __init__(self, targets: Any, rows: Ints, weights: Floats | None = None) -> None:
        self.targets = targets
        self.rows = rows
        self.weights = weights
        self.kept: CachedSamples | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """One sample: ``input``, ``target``, ``index``, and maybe ``weight`` and, in ``meta``, what `drawn` gives.

        Args:
            key: From `EpochSampler`; a plain position (of a foreign sampler, or of somebody who wants to see the
                sample) counts as epoch 0 and is never served from what is kept.
        """
        epoch, position, padding, round_, _ = key if isinstance(key, Key) else Key(0, key)
        row = int(self.rows[position])
        kept = self.kept.find(epoch, row) if self.kept is not None and isinstance(key, Key) else None
        sample: dict[str, Any] = {"input": kept, "target": self.target(row), "index": -1 if padding else row}
        meta = self.meta(row)
        if kept is None:
            sample["input"] = self.input(position)
            meta |= self.drawn(epoch, row, round_)
        if meta:
            sample["meta"] = meta
        return sample if self.weights is None else sample | {"weight": torch.tensor(self.weights[row])}

    def target(self, row: int) -> int | Tensor | dict[str, Any]:
        """The target of a row of the table."""
        if isinstance(self.targets, Mapping):
            return {name: _plain(column[row]) for name, column in self.targets.items()}
        return _plain(self.targets[row])

    def meta(self, row: int) -> dict[str, Any]:
        """Plain values that a batch holds of a row of the table, and that never go to the device."""
        return {}

    @abstractmethod
    def input(self, position: int) -> Tensor:
        """The sample at a position of the split: an image uint8 ``(C, H, W)``, or tokens ``(2, T)``."""

    def drawn(self, epoch: int, row: int, round_: int) -> dict[str, int]:
        """What is drawn for a sample, for when its batch is on the device."""
        return {}

    @abstractmethod
    def shown(self, position: int) -> NDArray[np.uint8] | str:
        """What people are shown of the sample at a position of the split: an image ``(H, W, C)``, or a text."""

    @property
    def decodes(self) -> bool:
        """Whether samples are decoded whenever they are asked for."""
        return False

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Put samples into a batch."""
        return collate(samples)


def _plain(value: Any) -> int | Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else int(value)


class ImageDataset(SplitDataset):
    """Decodes the images of a split, and says how each is to be augmented when its batch is on the device.

    What a sample's augmentation draws is a function of (seed, epoch, row, round) and never of the worker, the batch or
    the split.

    Args:
        images: Of the whole table.
        targets: Of the whole table: class indices ``(N,)``, or labels or values ``(N, K)``.
        rows: Rows of the table that the split holds.
        decoder: Decodes and resizes.
        augmentation: What is done to the images later.
        seed: Of the augmentation.
        weights: Of the whole table ``(N,)``, where it has any.
    """

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
        """The draw of the augmentation, where there is one."""
        return {} if self.augmentation is None else {"draw": self.augmentation.draw(self.seed, epoch, row, round_)}

    @property
    def needs_images(self) -> bool:
        """Whether any of it is served as images."""
        return self.kept is None or not self.kept.complete

    @property
    def decodes(self) -> bool:
        """Whether images are decoded whenever they are asked for."""
        return self.needs_images and self.memory is None and self.decoded is None

    def decode(self, position: int) -> Tensor:
        """Decode the image at a position of the split: uint8 ``(C, H, W)``."""
        return self.decoder(self.images[self.rows[position]])

    def input(self, position: int) -> Tensor:
        """The image at a position of the split, uint8 ``(C, H, W)``, from where it is to be had soonest."""
        if self.memory is not None:
            return self.memory[position]
        if self.decoded is not None:
            return self.decoded[int(self.rows[position])]
        return self.decode(position)

    def shown(self, position: int) -> NDArray[np.uint8]:
        """The image at a position of the split, as the model sees it ``(H, W, C)``."""
        image: NDArray[np.uint8] = self.input(position).permute(1, 2, 0).numpy()
        return image

    def remember(self, description: str) -> None:
        """Decode all images now and keep them in memory.

        Args:
            description: For the progress bar.

        Raises:
            DataError: Images that cannot be read.
        """
        if self.memory is None:
            self.memory = decode_all(self.decode, len(self), description)

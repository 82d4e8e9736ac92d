"""A split as a torch dataset."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tunesmith.data.decode import Front
from tunesmith.data.memory import Memory, decode_all
from tunesmith.data.randomness import derive, preserved, seed_streams
from tunesmith.data.sampler import Key
from tunesmith.data.table import Floats, Ints, Pictures


class PictureDataset(Dataset[dict[str, Any]]):
    """Decodes and augments the pictures of a split.

    A sample's random numbers are a function of (seed, epoch, row, round) and never of the worker, the batch or the
    split; the global random streams are left as they were.

    Args:
        pictures: Of the whole table.
        targets: Of the whole table: class indices ``(N,)``, or labels or values ``(N, K)``.
        rows: Rows of the table that the split holds.
        front: Decodes and resizes.
        augmentation: Random, uint8 ``(C, H, W)`` to uint8 ``(C, size, size)``.
        seed: Of the augmentation.
        weights: Of the whole table ``(N,)``, where it has any.
    """

    def __init__(
        self,
        pictures: Pictures,
        targets: Ints | Floats,
        rows: Ints,
        front: Front,
        augmentation: nn.Module | None = None,
        seed: int = 0,
        weights: Floats | None = None,
    ) -> None:
        self.pictures = pictures
        self.targets = targets
        self.rows = rows
        self.front = front
        self.augmentation = augmentation
        self.seed = seed
        self.weights = weights
        self.memory: Memory | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """One sample: ``input`` uint8 ``(C, H, W)``, ``target``, ``index``, and ``weight`` where there are any.

        Args:
            key: From `EpochSampler`; a plain position (of a foreign sampler) counts as epoch 0.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[Key] | list[int] | list[Key | int]) -> list[dict[str, Any]]:
        """The samples of a batch; torch's loader prefers this where it exists."""
        if self.augmentation is None:
            return [self._sample(key) for key in keys]
        with preserved():
            return [self._sample(key) for key in keys]

    def decode(self, position: int) -> Tensor:
        """The picture at a position of the split, uint8 ``(C, H, W)``, before augmentation."""
        return self.front(self.pictures[self.rows[position]])

    def remember(self, description: str) -> None:
        """Decode all pictures now and keep them in memory.

        Args:
            description: For the progress bar.

        Raises:
            DataError: Pictures that cannot be read.
        """
        if self.memory is None:
            self.memory = decode_all(self.decode, len(self), description)

    def _sample(self, key: Key | int) -> dict[str, Any]:
        epoch, position, padding, round_ = key if isinstance(key, Key) else Key(0, key)
        row = int(self.rows[position])
        picture = self.memory[position] if self.memory is not None else self.decode(position)
        if self.augmentation is not None:
            seed_streams(derive("augment", self.seed, epoch, row, *([round_] if round_ else [])))
            picture = self.augmentation(picture)
        target = int(self.targets[row]) if self.targets.ndim == 1 else torch.from_numpy(self.targets[row])
        sample = {"input": picture, "target": target, "index": -1 if padding else row}
        return sample if self.weights is None else sample | {"weight": torch.tensor(self.weights[row])}

"""A split as a torch dataset."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tunesmith.contracts import Activations
from tunesmith.data.decode import Front
from tunesmith.data.memory import Memory, decode_all
from tunesmith.data.randomness import derive, preserved, seed_streams
from tunesmith.data.sampler import Key
from tunesmith.data.table import Floats, Ints, Pictures


class Kept(Protocol):
    """What is served in place of pictures.

    Attributes:
        complete: Whether no picture is needed from now on.
    """

    complete: bool

    def find(self, epoch: int, row: int) -> Activations | None:
        """What is kept of a row of the table, for an epoch; ``None`` where the picture itself is needed."""
        ...


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
        self.kept: Kept | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """One sample: ``input`` uint8 ``(C, H, W)``, ``target``, ``index``, and ``weight`` where there are any.

        Args:
            key: From `EpochSampler`; a plain position (of a foreign sampler, or of somebody who wants to see the
                picture) counts as epoch 0 and is never served from what is kept.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[Key] | list[int] | list[Key | int]) -> list[dict[str, Any]]:
        """The samples of a batch; torch's loader prefers this where it exists."""
        if self.augmentation is None:
            return [self._sample(key) for key in keys]
        with preserved():
            return [self._sample(key) for key in keys]

    @property
    def needs_pictures(self) -> bool:
        """Whether any of it is served as pictures."""
        return self.kept is None or not self.kept.complete

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
        kept = self.kept.find(epoch, row) if self.kept is not None and isinstance(key, Key) else None
        shown = self._picture(epoch, position, row, round_) if kept is None else kept
        target = int(self.targets[row]) if self.targets.ndim == 1 else torch.from_numpy(self.targets[row])
        sample = {"input": shown, "target": target, "index": -1 if padding else row}
        return sample if self.weights is None else sample | {"weight": torch.tensor(self.weights[row])}

    def _picture(self, epoch: int, position: int, row: int, round_: int) -> Tensor:
        picture = self.memory[position] if self.memory is not None else self.decode(position)
        if self.augmentation is None:
            return picture
        seed_streams(derive("augment", self.seed, epoch, row, *([round_] if round_ else [])))
        augmented: Tensor = self.augmentation(picture)
        return augmented

"""The order of samples: a pure function of (seed, epoch), whatever the number of workers and processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch.utils.data import Sampler

from tunesmith.data.randomness import private


class Key(NamedTuple):
    """What the sampler asks the dataset for.

    It carries the epoch, so that workers, which may outlive an epoch, need no state that could fall behind.

    Attributes:
        epoch: Counted from 0.
        position: Position in the split.
        padding: Whether the sample only fills a distributed batch and must not be counted.
    """

    epoch: int
    position: int
    padding: bool = False


class EpochSampler(Sampler[Key]):
    """Deals one global order to all processes, like cards.

    Process r of W takes every W-th sample, beginning with the r-th, so W processes with batches of B see, step by step,
    what one process sees with batches of ``W * B``. All get the same number: training wraps around to fill up,
    evaluation fills up with samples marked as padding.

    Args:
        count: Number of samples in the split.
        seed: Of the order.
        shuffle: Whether to draw a new order for every epoch; without, the order is the split's.
        epoch: The epoch to begin with. Lightning tells the epoch only after it has started the first iteration of a
            resumed run, which would replay the order of epoch 0.
        skip: Samples of this process to leave out at the start of that epoch, and of no other.
    """

    def __init__(self, count: int, seed: int = 0, shuffle: bool = True, epoch: int = 0, skip: int = 0) -> None:
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = epoch
        self._skipped = (epoch, skip)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of samples of this process in a whole epoch, equal for all of them."""
        return -(-self.count // _world()[1])

    def __iter__(self) -> Iterator[Key]:
        rank, world = _world()
        epoch = self.epoch
        order = (
            torch.randperm(self.count, generator=private("order", self.seed, epoch))
            if self.shuffle
            else torch.arange(self.count)
        )
        first, skip = self._skipped
        begin = rank + world * (skip if epoch == first else 0)
        for place in range(begin, len(self) * world, world):
            extra = place >= self.count
            yield Key(epoch, int(order[place % self.count]), padding=extra and not self.shuffle)


def _world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1

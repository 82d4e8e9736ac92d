"""Provide samples in the order of an entry's rows, decoded ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from torch import Tensor

from tunesmith.data.dataset import ImageDataset, SplitDataset
from tunesmith.data.image.augment import Augmentation
from tunesmith.data.image.memory import cores

AHEAD = 2
"""Number of batches decoded ahead by threads while the backbone runs."""


class Source(Protocol):
    """Samples in the order of an entry's rows."""

    def batches(self, spans: Sequence[range]) -> Iterator[list[Tensor]]:
        """Yield a list of samples, such as uint8 images ``(C, H, W)``, for each span of rows."""
        ...


class Plain:
    """Samples as decoded, without augmentation.

    Args:
        dataset: Dataset whose samples are the rows.
    """

    def __init__(self, dataset: SplitDataset) -> None:
        self.dataset = dataset

    def batches(self, spans: Sequence[range]) -> Iterator[list[Tensor]]:
        """Decode ahead with one thread per core (Pillow releases the interpreter lock)."""
        waiting: deque[list[Future[Tensor]]] = deque()
        with ThreadPoolExecutor(cores()) as pool:
            try:
                for span in spans:
                    waiting.append([pool.submit(self.dataset.input, position) for position in span])
                    if len(waiting) > AHEAD:
                        yield [future.result() for future in waiting.popleft()]
                while waiting:
                    yield [future.result() for future in waiting.popleft()]
            finally:
                pool.shutdown(cancel_futures=True)


class View:
    """Training images, augmented as in one epoch.

    Args:
        dataset: The training images.
        augmentation: Their augmentation.
        epoch: The epoch.
    """

    def __init__(self, dataset: ImageDataset, augmentation: Augmentation, epoch: int) -> None:
        self.dataset = dataset
        self.plain = Plain(dataset)
        self.augmentation = augmentation
        self.epoch = epoch

    def batches(self, spans: Sequence[range]) -> Iterator[list[Tensor]]:
        """Decode ahead, and augment as training does."""
        dataset = self.dataset
        for span, images in zip(spans, self.plain.batches(spans), strict=True):
            rows = [int(dataset.rows[position]) for position in span]
            draws = [self.augmentation.draw(dataset.seed, self.epoch, row, 0) for row in rows]
            yield list(self.augmentation(images, draws))

"""Compute and read an entry of decoded images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tunesmith.cache import key
from tunesmith.cache.cached_split import OpenEntry
from tunesmith.cache.shard import PIXELS
from tunesmith.cache.source import Plain
from tunesmith.data.dataset import ImageDataset
from tunesmith.data.image.decode import Decode
from tunesmith.data.module import TableData

LOOKED_AT = 4
"""Number of images decoded to measure the time, and to compare with what the cache holds."""

SHAPE = "shape"


@final
class Decoding:
    """Recipe for images, decoded and resized; see `fill.Recipe`.

    They may differ in size, so their pixels are concatenated, with a table of shapes beside them.

    Args:
        data: The data module.
        rows: Rows of its table, in order.
        decoder: How to decode them.
    """

    asked = False
    doing = "Decoding images once"

    def __init__(self, data: TableData, rows: npt.NDArray[np.int64], decoder: Decode) -> None:
        dataset = ImageDataset(data.table.samples, data.table.targets, rows, decoder)
        self.source = Plain(dataset)
        self.row_bytes = decoder.max_bytes
        self.about = key.of_images(data, rows, decoder)
        self.what = f"{len(rows):,} {self.about['kept']}"
        start = time.perf_counter()
        few = [dataset.decode(position) for position in range(min(LOOKED_AT, len(rows)))]
        self._seconds = (time.perf_counter() - start) / len(few)
        self.sample = _laid_out(few)

    def seconds(self) -> float:
        """Return the seconds per image on one thread."""
        return self._seconds

    def parts(self, spans: Sequence[range]) -> Iterator[dict[str, Tensor]]:
        """Decode each span."""
        for images in self.source.batches(spans):
            yield _laid_out(images)


def _laid_out(images: Sequence[Tensor]) -> dict[str, Tensor]:
    shapes = torch.tensor([image.shape for image in images], dtype=torch.int32)
    return {SHAPE: shapes, PIXELS: torch.cat([image.flatten() for image in images])}


@final
class Decoded:
    """Decoded images by row of the data's table.

    Args:
        opened: The entry.
    """

    def __init__(self, opened: OpenEntry) -> None:
        self.opened = opened
        self.shapes = [shard.tensors[SHAPE].tolist() for shard in opened.shards]
        self.ends = [shard.tensors[SHAPE].long().prod(1).cumsum(0).tolist() for shard in opened.shards]

    def __getitem__(self, row: int) -> Tensor:
        """Return the image, uint8 ``(C, H, W)``."""
        shard, offset = self.opened.locate(row)
        begin, end = self.ends[shard][offset - 1] if offset else 0, self.ends[shard][offset]
        self.opened.touch(end - begin)
        return self.opened.shards[shard].tensors[PIXELS][begin:end].view(self.shapes[shard][offset])

"""What an entry of decoded pictures holds, and how it is read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tunesmith.cache import key
from tunesmith.cache.cached_split import Opened
from tunesmith.cache.shard import PIXELS
from tunesmith.cache.source import Plain
from tunesmith.data.dataset import PictureDataset
from tunesmith.data.image.decode import Front

LOOKED_AT = 4
"""Pictures that are decoded to see how long it takes, and to compare with what is kept of them."""

SHAPE = "shape"


@final
class Decoding:
    """Pictures, decoded and brought to size; see `fill.Recipe`.

    They may differ in size, so they lie one after another, with a table of shapes beside them.

    Args:
        data: The data module.
        rows: Rows of its table, in order.
        front: How they are decoded.
    """

    asked = False
    doing = "Decoding pictures once"

    def __init__(self, data: Any, rows: npt.NDArray[np.int64], front: Front) -> None:
        dataset = PictureDataset(data.table.samples, data.table.targets, rows, front)
        self.source = Plain(dataset)
        self.row_bytes = front.max_bytes
        self.about = key.of_pictures(data, rows, front)
        self.what = f"{self.about['kept'].capitalize()}, {len(rows):,} of them"
        start = time.perf_counter()
        few = [dataset.decode(position) for position in range(min(LOOKED_AT, len(rows)))]
        self._seconds = (time.perf_counter() - start) / len(few)
        self.sample = _laid_out(few)

    def seconds(self) -> float:
        """Of one thread."""
        return self._seconds

    def parts(self, spans: Sequence[range]) -> Iterator[dict[str, Tensor]]:
        """Decode each span."""
        for pictures in self.source.batches(spans):
            yield _laid_out(pictures)


def _laid_out(pictures: Sequence[Tensor]) -> dict[str, Tensor]:
    shapes = torch.tensor([picture.shape for picture in pictures], dtype=torch.int32)
    return {SHAPE: shapes, PIXELS: torch.cat([picture.flatten() for picture in pictures])}


@final
class Decoded:
    """Reads decoded pictures by row of the data's table.

    Args:
        opened: The entry.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.shapes = [shard.tensors[SHAPE].tolist() for shard in opened.shards]
        self.ends = [shard.tensors[SHAPE].long().prod(1).cumsum(0).tolist() for shard in opened.shards]

    def __getitem__(self, row: int) -> Tensor:
        """The picture, uint8 ``(C, H, W)``."""
        shard, offset = self.opened.locate(row)
        begin, end = self.ends[shard][offset - 1] if offset else 0, self.ends[shard][offset]
        self.opened.touch(end - begin)
        return self.opened.shards[shard].tensors[PIXELS][begin:end].view(self.shapes[shard][offset])

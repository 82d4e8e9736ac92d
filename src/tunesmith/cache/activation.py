"""What an entry of activations holds: what frozen stages give of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tunesmith.cache import key
from tunesmith.cache.frozen import BATCH, Frozen
from tunesmith.cache.source import Plain, Source, View
from tunesmith.data.image.module import ImageData
from tunesmith.data.module import TableData

DTYPES = {"exact": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types of numbers to keep, by name; ``None`` for that of the computation."""

LOOKED_AT = 4
"""Images that are run to see what comes out, and to compare with what is kept of them."""


@dataclass(frozen=True)
class Wanted:
    """What a run would like to be kept.

    Attributes:
        stages: Number of stages in front of the cut.
        rows: Rows of the data's table, in order.
        view: The epoch whose augmented training images are meant; ``None`` for images as in evaluation.
        asked: Whether the user asked for it.
    """

    stages: int
    rows: npt.NDArray[np.int64]
    view: int | None = None
    asked: bool = False


@final
class Activation:
    """Activations of images; see `fill.Recipe`.

    Args:
        frozen: The frozen part.
        data: The data module.
        wanted: Which.
        precision: The trainer's.
        dtype: Type of numbers to keep; ``exact`` for that of the computation.

    Attributes:
        dtypes: Type of numbers that each tensor was computed in, which may be wider than what is kept.
    """

    def __init__(
        self,
        frozen: Frozen,
        data: TableData,
        wanted: Wanted,
        precision: str,
        dtype: Literal["exact", "bfloat16", "float16"] = "exact",
    ) -> None:
        self.frozen = frozen
        self.source = _source(data, wanted)
        self.count = len(wanted.rows)
        self._dtype = DTYPES[dtype]
        (few,) = self.source.batches([range(min(LOOKED_AT, self.count))])
        self.cut = frozen.cut(wanted.stages)
        computed = frozen.run(few, self.cut)
        self.dtypes = {name: tensor.dtype for name, tensor in computed.items()}
        self.sample = self._as_kept(computed)
        self.row_bytes = sum(tensor.nbytes for tensor in self.sample.values()) // len(few)
        self.about = key.of_activations(frozen, self.cut, data, wanted.rows, precision, dtype, wanted.view)
        shown = data.table.what if wanted.view is None else f"training {data.table.what}, view {wanted.view}"
        self.what = f"{self.about['kept'].capitalize()} of {self.count:,} {shown}"
        self.doing = f"Running {self.cut.stages} frozen stages once"
        self.asked = wanted.asked

    def seconds(self) -> float:
        """Of one batch, after the first few images have warmed it up."""
        (probe,) = self.source.batches([range(min(BATCH, self.count))])
        return self.frozen.seconds(probe, self.cut)

    def parts(self, spans: Sequence[range]) -> Iterator[dict[str, Tensor]]:
        """Run each span as a batch."""
        for images in self.source.batches(spans):
            yield self._as_kept(self.frozen.run(images, self.cut))

    def _as_kept(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self._dtype or tensor.dtype) for name, tensor in found.items()}


def _source(data: TableData, wanted: Wanted) -> Source:
    if wanted.view is None:
        return Plain(data.plain(wanted.rows))
    augmentation = data.augmentation()
    assert isinstance(data, ImageData) and augmentation is not None  # of nothing else are there views
    return View(data.training_images(), augmentation, wanted.view)

"""Compute an entry of activations: the outputs of frozen stages for a set of samples."""

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
"""Number of samples run to learn the output's form, and to compare with what the cache holds."""


@dataclass(frozen=True)
class Wanted:
    """A set of activations that a run would like to cache.

    Attributes:
        stages: Number of stages before the cut.
        rows: Rows of the data's table, in order.
        view: Epoch whose augmented training images are cached; ``None`` for images as in evaluation.
        asked: Whether the user asked for it.
    """

    stages: int
    rows: npt.NDArray[np.int64]
    view: int | None = None
    asked: bool = False


@final
class Activation:
    """Recipe for activations of samples; see `fill.Recipe`.

    Args:
        frozen: The frozen part.
        data: The data module.
        wanted: The activations to compute.
        precision: The trainer's precision.
        dtype: Type in which numbers are stored; ``exact`` for that of the computation.

    Attributes:
        dtypes: Type in which each tensor was computed, which may be wider than the stored one.
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
        self.what = f"{self.about['kept']} of {self.count:,} {shown}"
        self.doing = f"Running {self.cut.stages} frozen stages once"
        self.asked = wanted.asked

    def seconds(self) -> float:
        """Measure the seconds per sample on one batch, after the first few samples have warmed it up."""
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
    assert isinstance(data, ImageData) and augmentation is not None  # only images have views
    return View(data.training_images(), augmentation, wanted.view)

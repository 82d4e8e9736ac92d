"""A class for each pixel of an image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import IGNORED
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import DataError
from tunesmith.target.base import Target
from tunesmith.target.result.predictions import Answers, Drawings, Predictions, save
from tunesmith.target.shared.one_class import commonest
from tunesmith.target.table.check import check_all_present, indicators
from tunesmith.target.table.strata import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor

MOST = 255
"""Classes at the most, so that a mask fits into bytes with one value left for what does not count."""


@final
class MaskTarget(Target):
    """A class index per pixel ``(H, W)``, int64, `IGNORED` where a pixel does not count; H and W may differ by sample.

    A batch has them in the size of the image ``(B, H, W)``. A test's table has ``pixel_accuracy`` and ``iou_<class>``
    for each image, empty where it has no such pixels; a prediction's has ``share_<class>``, the share of the pixels
    that are said to be of each class.
    """

    name = "mask"
    plural = "masks"
    title = "class"
    total = "all pixels"
    loss = "cross_entropy"
    head = "pixel_linear"
    output_per = "pixel"

    def check(self, targets: Any, names: tuple[str, ...]) -> None:
        """Refuse what is no mask, indices out of range, and too few or too many classes.

        Raises:
            DataError: They are so.
        """
        if not 2 <= len(names) <= MOST:
            raise DataError(f"Expected 2 to {MOST} classes for masks but got {len(names)}.")
        for mask in targets:
            if mask.ndim != 2 or mask.dtype != np.int64:
                raise DataError(f"Expected masks (H, W) of int64 but got one of {mask.shape} and {mask.dtype}.")
            counted = mask[mask != IGNORED]
            if counted.size and not 0 <= counted.min() <= counted.max() < len(names):
                raise DataError(
                    f"Expected masks of class indices from 0 to {len(names) - 1}, or {IGNORED} where a pixel does not "
                    f"count, but got {counted.min()} to {counted.max()}."
                )

    def plain(self, targets: Any, names: tuple[str, ...]) -> list[Any]:
        """Digest of each mask's size and pixels."""
        return [f"{mask.shape}:{hashlib.blake2b(mask.tobytes(), digest_size=16).hexdigest()}" for mask in targets]

    def counts(self, targets: Any, names: tuple[str, ...]) -> Ints:
        """Number of pixels of each class ``(K,)``."""
        found: Ints = sum((_pixels(mask, names) for mask in targets), np.zeros(len(names), np.int64))
        return found

    def occurrences(self, targets: Any, names: tuple[str, ...]) -> Floats:
        """Which classes occur in each mask, 0 or 1 ``(R, K)``."""
        return indicators([np.flatnonzero(_pixels(mask, names)).tolist() for mask in targets], names)

    def check_train(self, absent: Sequence[str], what: str) -> None:
        """Refuse a training split without a pixel of some of the classes."""
        check_all_present(absent, what)

    def check_mixed(self) -> None:
        """Refuse mixtures of images.

        Raises:
            DataError: Always.
        """
        raise DataError("Expected data.mixup=0 and data.cutmix=0 for masks, of which there are no mixtures.")

    def in_words(self, target: Any, names: tuple[str, ...]) -> str:
        """Names of the classes that occur in a mask, with commas between them."""
        return ", ".join(names[k] for k in np.flatnonzero(_pixels(target, names)))

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """The class of most pixels."""
        return commonest(spec)

    def quoted(self, name: str) -> str:
        """The class's name, marked as one."""
        return f"“{name}”"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """A row per image, of its confusion matrix ``(K, K)``, true class by predicted class."""
        return Masks(names, found["confusion"].numpy(), task.spec.class_names)

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """A row per image: the share of its pixels that are said to be of each class; empty for a skipped file."""
        classes, files = task.spec.class_names, [*asked.names]
        pixels = found["predictions"].numpy().astype(np.float64)
        shares = pixels / pixels.sum(axis=1, keepdims=True)
        for row, (name, _) in sorted(asked.skipped.items()):
            files.insert(row, name)
            shares = np.insert(shares, row, np.nan, axis=0)
        columns = {f"share_{name}": pa.array(shares[:, k], from_pandas=True) for k, name in enumerate(classes)}
        order = np.argsort(-np.nansum(shares, axis=0), kind="stable")
        lines = [f"{np.nanmean(shares[:, k]):>7.1%} of the pixels {classes[k]}" for k in order]
        return Masks(asked.names, None, classes, pa.table({asked.column: files, **columns}), lines, asked.column)


TARGET = MaskTarget()


@final
@dataclass(frozen=True)
class Masks:
    """Predictions of a class per pixel.

    Attributes:
        files: What each image is called ``(N,)``.
        confusion: Pixels of each image by true and predicted class ``(N, K, K)``; ``None`` where the truth is unknown.
        class_names: One per class ``(K,)``.
        shares: The saved table of a prediction; that of a test is made of the confusion matrices.
        lines: What people are shown of a prediction, a line each.
        column: What the first column of the saved table is called.
    """

    files: list[str]
    confusion: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    shares: pa.Table | None = None
    lines: list[str] = field(default_factory=list)
    column: str = "file"

    @property
    def targets(self) -> Any:
        """Pixels of each image by true class ``(N, K)``; ``None`` where the truth is unknown."""
        return None if self.confusion is None else self.confusion.sum(axis=2)

    @property
    def least_rows(self) -> int:
        """See `Predictions.least_rows`."""
        return 1

    def table(self) -> pa.Table:
        """The saved table."""
        if self.shares is not None:
            return self.shares
        ious = {f"iou_{name}": column for name, column in zip(self.class_names, iou(self._known()).T, strict=True)}
        columns = {"pixel_accuracy": accuracy(self._known()), **ious}
        plain = {name: pa.array(column, from_pandas=True) for name, column in columns.items()}
        return pa.table({self.column: self.files, **plain})

    def save(self, path: Path) -> None:
        """Write the table: see `save`."""
        save(self.table(), path)

    def by_class(self) -> pd.DataFrame:
        """``iou`` over the pixels of all images, and ``pixels`` that truly are of the class, of each ``class``."""
        whole = self._known().sum(axis=0)
        return pd.DataFrame({"class": self.class_names, "iou": iou(whole), "pixels": whole.sum(axis=1)})

    def wrongness(self) -> NDArray[np.float64]:
        """Share of the pixels that are wrong ``(N,)``; 0 where none counts."""
        return np.nan_to_num(1 - accuracy(self._known()))

    def caption(self, i: int) -> str:
        """What an image is called, how many of its pixels are wrong, and the classes that it truly has."""
        pixels = self.targets[i]
        classes = ", ".join(self.class_names[k] for k in np.flatnonzero(pixels))
        return f"{self.files[i]}: {self.wrongness()[i]:.1%} of {pixels.sum():,} pixels wrong, in truth {classes}"

    def place(self, i: int) -> int:
        """Where a sample stands in the split."""
        return i

    def summary(self) -> list[str]:
        """The mean share of each class, the commonest first."""
        return self.lines

    def drawings(self) -> Drawings:
        """The confusion matrix of all pixels."""
        from tunesmith.target.result import plot  # imports matplotlib

        if self.confusion is None:
            return {}
        return {"confusion_matrix": partial(plot.draw_counts, self.confusion.sum(axis=0), self.class_names)}

    def charts(self, plot: Any, table: Any) -> dict[str, Any]:
        """The IoU of each class."""
        return {"iou": plot.bar(table(dataframe=self.by_class()), "class", "iou", title="iou")}

    def _known(self) -> NDArray[np.int64]:
        assert self.confusion is not None
        return self.confusion


def iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class ``(…, K)``, of confusion matrices ``(…, K, K)``; NaN of an absent class."""
    both = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - both
    found: NDArray[np.float64] = np.divide(both, union, out=np.full(union.shape, np.nan), where=union > 0)
    return found


def accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the pixels that are right ``(…)``, of confusion matrices ``(…, K, K)``; NaN where none counts."""
    right, total = np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1))
    found: NDArray[np.float64] = np.divide(right, total, out=np.full(total.shape, np.nan), where=total > 0)
    return found


def _pixels(mask: Ints, names: tuple[str, ...]) -> Ints:
    """Number of pixels of each class ``(K,)``."""
    return np.bincount(mask[mask != IGNORED], minlength=len(names))

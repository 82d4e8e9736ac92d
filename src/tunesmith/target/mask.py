"""Define targets of one class per pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import IGNORED
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import DataError
from tunesmith.target.base import Target
from tunesmith.target.result.predictions import Answers, Charts, Drawings, Predictions, save, tensor
from tunesmith.target.shared.one_class import commonest
from tunesmith.target.table.check import check_all_present, indicators
from tunesmith.target.table.strata import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor

MOST = 255
"""Maximum number of classes: a mask fits into bytes, with one value left for ignored pixels."""


@final
class MaskTarget(Target[Sequence[Ints], Ints]):
    """Masks of class indices ``(H, W)``, int64, with `IGNORED` pixels; H and W may differ by sample.

    In a batch they have the size of the image ``(B, H, W)``. The table of a test has ``pixel_accuracy`` and
    ``iou_<class>`` per image, empty if no pixel counts; that of a prediction has ``share_<class>``, the share of pixels
    predicted to be of each class.
    """

    name = "mask"
    plural = "masks"
    title = "class"
    total = "all pixels"
    loss = "cross_entropy"
    head = "pixel_linear"
    output_per = "pixel"

    def check(self, targets: Sequence[Ints], names: tuple[str, ...]) -> None:
        """Refuse arrays of other shapes or types, indices out of range, and too few or too many classes.

        Raises:
            DataError: A mask or the number of classes is wrong.
        """
        if not 2 <= len(names) <= MOST:
            raise DataError(f"Expected 2 to {MOST} classes for masks but got {len(names)}.")
        for mask in targets:
            if mask.ndim != 2 or mask.dtype != np.int64:
                raise DataError(f"Expected masks (H, W) of int64 but got one of {mask.shape} and {mask.dtype}.")
            counted = mask[mask != IGNORED]
            if counted.size and not 0 <= counted.min() <= counted.max() < len(names):
                raise DataError(
                    f"Expected masks of class indices from 0 to {len(names) - 1}, or {IGNORED} for ignored "
                    f"pixels, but got {counted.min()} to {counted.max()}."
                )

    def plain(self, targets: Sequence[Ints], names: tuple[str, ...]) -> list[object]:
        """Return a digest of each mask's size and pixels."""
        return [f"{mask.shape}:{hashlib.blake2b(mask.tobytes(), digest_size=16).hexdigest()}" for mask in targets]

    def counts(self, targets: Sequence[Ints], names: tuple[str, ...]) -> Ints:
        """Count the pixels of each class ``(K,)``."""
        found: Ints = sum((_pixels(mask, names) for mask in targets), np.zeros(len(names), np.int64))
        return found

    def occurrences(self, targets: Sequence[Ints], names: tuple[str, ...]) -> Floats:
        """Return which classes occur in each mask, 0 or 1 ``(R, K)``."""
        return indicators([np.flatnonzero(_pixels(mask, names)).tolist() for mask in targets], names)

    def check_train(self, absent: Sequence[str], what: str) -> None:
        """Refuse a training split in which some classes have no pixel."""
        check_all_present(absent, what)

    def check_mixed(self) -> None:
        """Refuse MixUp and CutMix.

        Raises:
            DataError: Always.
        """
        raise DataError("Expected data.mixup=0 and data.cutmix=0 for masks, which cannot be mixed.")

    def in_words(self, target: Ints, names: tuple[str, ...]) -> str:
        """Return the names of the classes in a mask, separated by commas."""
        return ", ".join(names[k] for k in np.flatnonzero(_pixels(target, names)))

    def always(self, spec: DataSpec) -> tuple[Tensor, str]:
        """Return the class of most pixels."""
        return commonest(spec)

    def quoted(self, name: str) -> str:
        """Return the class's name in quotation marks."""
        return f"“{name}”"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make one row per image from its confusion matrix ``(K, K)``, true by predicted class."""
        return Masks(names, tensor(found["confusion"]).numpy(), task.spec.class_names)

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make one row per image: the share of its pixels predicted per class; empty for a skipped file."""
        classes, files = task.spec.class_names, [*asked.names]
        pixels = tensor(found["predictions"]).numpy().astype(np.float64)
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
    """Predictions of one class per pixel.

    Attributes:
        files: Name of each image ``(N,)``.
        confusion: Pixels of each image by true and predicted class ``(N, K, K)``; ``None`` if the truth is unknown.
        class_names: Names of the classes ``(K,)``.
        shares: Table to save after a prediction; a test's is computed from the confusion matrices.
        lines: Lines to print after a prediction.
        column: Name of the saved table's first column.
    """

    files: list[str]
    confusion: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    shares: pa.Table | None = None
    lines: list[str] = field(default_factory=list)
    column: str = "file"

    @property
    def targets(self) -> Ints | None:
        """Pixels of each image by true class ``(N, K)``; ``None`` if the truth is unknown."""
        return None if self.confusion is None else self.confusion.sum(axis=2)

    @property
    def least_rows(self) -> int:
        """See `Predictions.least_rows`."""
        return 1

    def table(self) -> pa.Table:
        """Return the table to save."""
        if self.shares is not None:
            return self.shares
        ious = {f"iou_{name}": column for name, column in zip(self.class_names, iou(self._known()).T, strict=True)}
        columns = {"pixel_accuracy": accuracy(self._known()), **ious}
        plain = {name: pa.array(column, from_pandas=True) for name, column in columns.items()}
        return pa.table({self.column: self.files, **plain})

    def save(self, path: Path) -> None:
        """Write the table; see `save`."""
        save(self.table(), path)

    def by_class(self) -> pd.DataFrame:
        """Return ``iou`` over the pixels of all images, and the number of true ``pixels``, per ``class``."""
        whole = self._known().sum(axis=0)
        return pd.DataFrame({"class": self.class_names, "iou": iou(whole), "pixels": whole.sum(axis=1)})

    def wrongness(self) -> NDArray[np.float64]:
        """Return the share of wrong pixels per image ``(N,)``; 0 if no pixel counts."""
        return np.nan_to_num(1 - accuracy(self._known()))

    def caption(self, i: int) -> str:
        """Return an image's name, its share of wrong pixels and its true classes."""
        pixels = self._known()[i].sum(axis=1)
        classes = ", ".join(self.class_names[k] for k in np.flatnonzero(pixels))
        return f"{self.files[i]}: {self.wrongness()[i]:.1%} of {pixels.sum():,} pixels wrong, true: {classes}"

    def place(self, i: int) -> int:
        """Return a sample's position in the split."""
        return i

    def summary(self) -> list[str]:
        """Return the mean share of each class, largest first."""
        return self.lines

    def drawings(self) -> Drawings:
        """Return the confusion matrix over all pixels."""
        from tunesmith.target.result import plot  # imports matplotlib

        if self.confusion is None:
            return {}
        return {"confusion_matrix": partial(plot.draw_counts, self.confusion.sum(axis=0), self.class_names)}

    def charts(self, plot: ModuleType, table: Callable[..., object]) -> Charts:
        """Make W&B's chart of the IoU per class."""
        return {"iou": plot.bar(table(dataframe=self.by_class()), "class", "iou", title="iou")}

    def _known(self) -> NDArray[np.int64]:
        assert self.confusion is not None
        return self.confusion


def iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the IoU of each class ``(…, K)`` from confusion matrices ``(…, K, K)``; NaN for an absent class."""
    both = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - both
    found: NDArray[np.float64] = np.divide(both, union, out=np.full(union.shape, np.nan), where=union > 0)
    return found


def accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the share of right pixels ``(…)`` from confusion matrices ``(…, K, K)``; NaN if no pixel counts."""
    right, total = np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1))
    found: NDArray[np.float64] = np.divide(right, total, out=np.full(total.shape, np.nan), where=total > 0)
    return found


def _pixels(mask: Ints, names: tuple[str, ...]) -> Ints:
    """Count the pixels of each class ``(K,)``."""
    return np.bincount(mask[mask != IGNORED], minlength=len(names))

"""Read images and targets from a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import ImageArguments
from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Strings, Table
from tunesmith.data.tabular.annotation import Annotation
from tunesmith.data.tabular.columns import Columns
from tunesmith.errors import DataError


class ImageTable(ImageData):
    """Images in a CSV or Parquet file, one path per row, with targets and optionally splits, groups and weights.

    Args:
        file: The table, ``.csv`` or ``.parquet``; ``~`` is the home folder.
        root: Folder of relative paths; ``None``: the table's folder.
        path: Column of the paths.
        labels: Column or columns with the targets.
        target: Kind of target. ``class``: one class per image, as a word or a number; ``ordinal``: the same, in an
            order; ``multilabel``: several columns of 0 and 1, or one column of labels with a ``separator`` (an empty
            cell is no label); ``value``: one or more columns of numbers. ``auto``: multilabel if there is a separator
            or several columns are all 0 or 1, value if a number has a decimal point or there are several columns, else
            class.
        separator: Separator of several labels in one column, such as ``;``.
        classes: The classes, or the labels in one column, in order; ``None``: those that occur, sorted, numerically if
            all are numbers. Ordinal targets in words need the order.
        split_column: Column with train, val (valid, validation) or test. ``auto``: ``split`` if there is such a column;
            ``None``: none. The same holds for the next two.
        group: Column of groups that must not be split, such as patients. ``auto``: ``group``.
        weight: Column of the weight in the loss. ``auto``: ``weight``.
        channels: 3 for colour, 1 for grey; files are converted.
        **common: Arguments of `ImageData`.
    """

    def __init__(
        self,
        *,
        file: str,
        root: str | None = None,
        path: str = "path",
        labels: str | list[str] = "label",
        target: Literal["auto", "class", "multilabel", "value", "ordinal"] = "auto",
        separator: str | None = None,
        classes: list[str | int] | None = None,
        split_column: str | None = "auto",
        group: str | None = "auto",
        weight: str | None = "auto",
        channels: Literal[1, 3] = 3,
        **common: Unpack[ImageArguments],
    ) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.root = self.file.parent if root is None else Path(root).expanduser()
        self.path = path
        self.annotation = Annotation(labels, target, separator, classes, split_column, group, weight)
        self.channels: Literal[1, 3] = channels

    def load(self) -> Table:
        """Read the table.

        Raises:
            DataError: There is no such table or column, a cell is invalid, or a file is missing (unless
                ``on_bad_file`` is ``skip``).
        """
        columns = Columns.read(self.file)
        names = columns.text(self.path)
        columns.check(names == "", self.path, "a path")
        _check_once(self.file, names)
        images = [self.root / name for name in names.tolist()]
        if self.on_bad_file == "error":
            self._check_files(images)
        return self.annotation.table(columns, images, names, [self.path], self.modality, self.channels)

    def _check_files(self, images: list[Path]) -> None:
        missing = [image for image in images if not image.is_file()]
        if missing:
            raise DataError(
                f"Expected a file for every row of {self.file} but {len(missing)} of {len(images)} are missing, "
                f"first {missing[0]}; set data.root, or leave them out with data.on_bad_file=skip."
            )


def _check_once(file: Path, names: Strings) -> None:
    values, counts = np.unique(names, return_counts=True)
    if counts.max() > 1:
        name = values[counts.argmax()]
        raise DataError(f"Expected every image once in {file} but got {name} {counts.max()} times.")

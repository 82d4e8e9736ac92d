"""Your own images: a table that says what each of them shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from tunesmith.data.image.module import ImageData
from tunesmith.data.table import Strings, Table
from tunesmith.data.tabular.annotation import Annotation
from tunesmith.data.tabular.columns import Columns
from tunesmith.errors import DataError


class ImageTable(ImageData):
    """Images listed in a CSV or Parquet file, one a row: the path, what is to be learnt, and more where it is there.

    Args:
        file: The table, ``.csv`` or ``.parquet``; ``~`` is the home folder.
        root: Folder that relative paths count from; ``None``: the table's.
        path: Column of the paths.
        labels: Column, or columns, of what is to be learnt.
        target: Kind of target. ``class``: one class an image, as a word or a number; ``ordinal``: the same, in an
            order; ``multilabel``: several columns of 0 and 1, or one column of labels with ``separator`` between them
            (an empty cell is no label); ``value``: one or more columns of numbers. ``auto``: multilabel where there is
            a separator or where all of several columns are 0 or 1, value where a number has a decimal point or there
            are several columns, else class.
        separator: What stands between the labels in one column, such as ``;``.
        classes: The classes, or the labels in one column, in their order; ``None``: those that occur, sorted, as
            numbers where all are. For ordinal targets with words the order must be given.
        split: How to split; by ``auto``, the column of splits where there is one, else by group where there is a column
            of groups.
        split_column: Column with train, val (valid, validation) or test. ``auto``: ``split`` where there is such a
            column; ``None``: none. So too for the next two.
        group: Column with what must not be torn apart, such as a patient. ``auto``: ``group``.
        weight: Column with the weight in the loss. ``auto``: ``weight``.
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
        **common: Any,
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
            DataError: There is no such table or column, a cell is not what it should be, or a file is missing (unless
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

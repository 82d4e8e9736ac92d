"""Read texts and targets from a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from typing_extensions import Unpack

from tunesmith.data.arguments import TextArguments
from tunesmith.data.column import RowNames
from tunesmith.data.table import Table
from tunesmith.data.tabular.annotation import Annotation
from tunesmith.data.tabular.columns import Columns, texts_of
from tunesmith.data.tabular.shelf import Shelf
from tunesmith.data.text.module import TextData


class TextTable(TextData):
    """Texts in a CSV, Parquet or JSON lines file, one per row, with targets and optionally splits, groups and weights.

    Args:
        file: The table, ``.csv``, ``.parquet`` or ``.jsonl``; ``~`` is the home folder.
        text: Column of the texts.
        second: Column of the second texts of pairs; ``None`` for single texts.
        labels: Column or columns with the targets.
        target: Kind of target: ``class``, ``ordinal``, ``multilabel`` or ``value``; ``auto`` decides by the cells, see
            `image_table.ImageTable`. ``tokens``: a language model learns the texts themselves, without labels.
        separator: Separator of several labels in one column, such as ``;``; JSON lists need none.
        classes: The classes, or the labels in one column, in order; ``None``: those that occur, sorted, numerically if
            all are numbers. Ordinal targets in words need the order.
        split_column: Column with train, val (valid, validation) or test. ``auto``: ``split`` if there is such a column;
            ``None``: none. The same holds for the next two.
        group: Column of groups that must not be split, such as authors. ``auto``: ``group``.
        weight: Column of the weight in the loss. ``auto``: ``weight``.
        **common: Arguments of `TextData`.
    """

    def __init__(
        self,
        *,
        file: str,
        text: str = "text",
        second: str | None = None,
        labels: str | list[str] = "label",
        target: Literal["auto", "class", "multilabel", "value", "ordinal", "tokens"] = "auto",
        separator: str | None = None,
        classes: list[str | int] | None = None,
        split_column: str | None = "auto",
        group: str | None = "auto",
        weight: str | None = "auto",
        **common: Unpack[TextArguments],
    ) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.columns = [text] if second is None else [text, second]
        self.annotation = Annotation(labels, target, separator, classes, split_column, group, weight)

    def load(self) -> Table:
        """Read the table.

        Raises:
            DataError: There is no such table or column, or a cell is invalid.
        """
        return self.table_of(self._shelf.columns() if self._shelf else Columns.read(self.file))

    def table_of(self, columns: Columns) -> Table:
        """Build the table of samples from the user's columns."""
        names, texts = RowNames(len(columns)), texts_of(columns, self.columns)
        return self.annotation.table(columns, texts, names, self.columns, self.modality)

    def find_shelf(self) -> Shelf | None:
        """See `TextData.find_shelf`."""
        if type(self) is not TextTable:  # a derived class may read the columns in another way
            return None
        own = ("TextTable", self.annotation)
        return Shelf.open(self.file, self.tokenizer.keep, own, self.columns)

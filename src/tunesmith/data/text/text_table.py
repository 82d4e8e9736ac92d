"""Your own texts: a table that says what is to be learnt of each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tunesmith.data.column import RowNames
from tunesmith.data.table import Table
from tunesmith.data.tabular.annotation import Annotation
from tunesmith.data.tabular.columns import Columns, texts_of
from tunesmith.data.tabular.shelf import Shelf
from tunesmith.data.text.module import TextData


class TextTable(TextData):
    """Texts in a CSV, Parquet or JSON lines file, one a row, with what is to be learnt and more where it is there.

    Args:
        file: The table, ``.csv``, ``.parquet`` or ``.jsonl``; ``~`` is the home folder.
        text: Column of the texts.
        second: Column of the second texts, where pairs are to be told something of; ``None`` for none.
        labels: Column, or columns, of what is to be learnt.
        target: Kind of target: ``class``, ``ordinal``, ``multilabel`` or ``value``; ``auto`` goes by the cells: see
            `image_table.ImageTable`. With ``tokens`` a language model learns the texts themselves, without labels.
        separator: What stands between the labels in one column, such as ``;``, as which lists in JSON are read.
        classes: The classes, or the labels in one column, in their order; ``None``: those that occur, sorted, as
            numbers where all are. For ordinal targets with words the order must be given.
        split_column: Column with train, val (valid, validation) or test. ``auto``: ``split`` where there is such a
            column; ``None``: none. So too for the next two.
        group: Column with what must not be torn apart, such as an author. ``auto``: ``group``.
        weight: Column with the weight in the loss. ``auto``: ``weight``.
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
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.columns = [text] if second is None else [text, second]
        self.annotation = Annotation(labels, target, separator, classes, split_column, group, weight)

    def load(self) -> Table:
        """Read the table.

        Raises:
            DataError: There is no such table or column, or a cell is not what it should be.
        """
        return self.table_of(self._shelf.columns() if self._shelf else Columns.read(self.file))

    def table_of(self, columns: Columns) -> Table:
        """Make the table of samples of the user's."""
        names, texts = RowNames(len(columns)), texts_of(columns, self.columns)
        return self.annotation.table(columns, texts, names, self.columns, self.modality)

    def find_shelf(self) -> Shelf | None:
        """See `TextData.find_shelf`."""
        if type(self) is not TextTable:  # what another class makes of the columns is not known
            return None
        own = ("TextTable", self.annotation)
        return Shelf.open(self.file, self.tokenizer.keep, own, self.columns)

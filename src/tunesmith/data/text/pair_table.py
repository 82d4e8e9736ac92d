"""Read pairs of texts from a user's table."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import final

from typing_extensions import Unpack

from tunesmith.data.arguments import PairArguments
from tunesmith.data.column import Mapped, RowNames
from tunesmith.data.table import Table
from tunesmith.data.tabular.annotation import Annotation
from tunesmith.data.tabular.columns import Columns, texts_of
from tunesmith.data.tabular.shelf import Shelf
from tunesmith.data.text.pair_data import PairData
from tunesmith.target.table.cells import Found


@final
class PairTable(PairData):
    """Pairs of texts in a CSV, Parquet or JSON lines file, one pair per row.

    Args:
        file: The table, ``.csv``, ``.parquet`` or ``.jsonl``; ``~`` is the home folder.
        source: Column of the source texts.
        target: Column of the texts to write.
        split_column: Column with train, val (valid, validation) or test. ``auto``: ``split`` if there is such a column;
            ``None``: none. The same holds for the next two.
        group: Column of groups that must not be split, such as documents. ``auto``: ``group``.
        weight: Column of the weight in the loss. ``auto``: ``weight``.
        **common: Arguments of `PairData`.
    """

    def __init__(
        self,
        *,
        file: str,
        source: str = "source",
        target: str = "target",
        split_column: str | None = "auto",
        group: str | None = "auto",
        weight: str | None = "auto",
        **common: Unpack[PairArguments],
    ) -> None:
        super().__init__(**common)
        self.file = Path(file).expanduser()
        self.columns = [source, target]
        self.annotation = Annotation((), split=split_column, group=group, weight=weight)

    def load(self) -> Table:
        """Read the table.

        Raises:
            DataError: There is no such table or column, or a cell is invalid.
        """
        columns = self._shelf.columns() if self._shelf else Columns.read(self.file)
        texts = texts_of(columns, self.columns, self.prefix)
        found, names = Found("text", Mapped(texts, itemgetter(1)), ()), RowNames(len(texts))
        return self.annotation.table(columns, texts, names, self.columns, self.modality, found=found)

    def find_shelf(self) -> Shelf | None:
        """See `TextData.find_shelf`."""
        own = ("PairTable", self.annotation)
        return Shelf.open(self.file, self.tokenizer.keep, own, self.columns, self.prefix)

"""The texts of a split, as tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from tunesmith.contract.batch import IGNORED
from tunesmith.data.dataset import SplitDataset
from tunesmith.data.sampler import Key
from tunesmith.data.table import Floats, Ints
from tunesmith.data.text.language import Hiding
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.data.text.unlabelled import Unlabelled


@dataclass(frozen=True)
class Encoded:
    """Texts as a model takes them, and what it is to say of them.

    Attributes:
        tokens: Of each text ``(R, T)``, int32, with R rows as in `tokens.ROWS`.
        targets: As `Table` has them or, of each text, int64: what each token is to give ``(T,)``, or a span ``(2,)``.
        cut: Positions of the texts that were cut.
        more: What else a batch holds of each text, by name: vectors, which are padded with `IGNORED`, numbers, or plain
            values, which stay a list.
    """

    tokens: Sequence[Tensor]
    targets: Any
    cut: Ints
    more: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class TextDataset(SplitDataset):
    """The tokens of a split.

    Args:
        texts: Of the whole table, as people see them.
        encoded: Of the whole table.
        tokenizer: Pads their tokens.
        rows: Rows of the table that the split holds.
        weights: Of the whole table ``(N,)``, where it has any.
        hiding: How words are hidden that are to be found again; ``None`` for not at all.

    Attributes:
        anew: Whether other words are hidden in every epoch.
        beside: Texts without labels that batches hold besides.
    """

    def __init__(
        self,
        texts: Sequence[str],
        encoded: Encoded,
        tokenizer: Tokenizer,
        rows: Ints,
        weights: Floats | None = None,
        hiding: Hiding | None = None,
    ) -> None:
        super().__init__(encoded.targets, rows, weights)
        self.texts = texts
        self.hiding, self.anew = hiding, False
        self.beside: Unlabelled | None = None
        self.encoded = encoded
        self.tokenizer = tokenizer

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """One sample: see `SplitDataset`; and what else a batch holds of it."""
        row = int(self.rows[key.position if isinstance(key, Key) else key])
        sample = super().__getitem__(key) | {name: values[row] for name, values in self.encoded.more.items()}
        if self.hiding is not None:
            drawn = (key.epoch, row) if self.anew and isinstance(key, Key) else None
            sample["input"], sample["target"] = self.hiding(self.encoded.tokens[row], drawn)
        if self.beside is not None:
            drawn_beside = key.unlabelled if isinstance(key, Key) else self.beside.of_position(key)
            sample["unlabelled"] = [self.beside(*pair) for pair in drawn_beside]
        return sample

    def input(self, position: int) -> Tensor:
        """Tokens ``(R, T)`` of the text at a position of the split."""
        return self.encoded.tokens[int(self.rows[position])]

    def shown(self, position: int) -> str:
        """The text at a position of the split."""
        return self.texts[int(self.rows[position])]

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Put samples into a batch, padded to the longest of them; vectors, such as a target, with `IGNORED`."""
        inputs = [sample["input"] for sample in samples]
        whole = isinstance(inputs[0], Tensor)
        beside = [drawn for sample in samples for drawn in sample.get("unlabelled", ())]
        names = [name for name in samples[0] if name not in ("input", "unlabelled")]
        columns = {name: [sample[name] for sample in samples] for name in names}
        return {
            "input": self.tokenizer.pad(inputs) if whole else default_collate(inputs),
            **{name: _together(column) for name, column in columns.items()},
            **({"unlabelled": self.beside.collate(beside)} if self.beside and beside else {}),
        }


def _together(column: list[Any]) -> Any:
    if isinstance(column[0], Tensor) and column[0].ndim == 1:
        return pad_sequence(column, batch_first=True, padding_value=IGNORED)
    return column if isinstance(column[0], str | tuple) else default_collate(column)

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
        targets: As `Table` has them or, of each text, int64: what each token is to give ``(T,)``; or several by name,
            as `Batch` has them: vectors, which are padded with `IGNORED`, or numbers.
        cut: Positions of the texts that were cut.
        meta: Plain values of each text, by name, which stay a list.
    """

    tokens: Sequence[Tensor]
    targets: Any
    cut: Ints
    meta: Mapping[str, Sequence[Any]] = field(default_factory=dict)


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
        streams: Texts without labels that batches hold besides, by name.
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
        self.streams: Mapping[str, Unlabelled] = {}
        self.encoded = encoded
        self.tokenizer = tokenizer

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """One sample: see `SplitDataset`; and what a batch holds besides it."""
        row = int(self.rows[key.position if isinstance(key, Key) else key])
        sample = super().__getitem__(key)
        if self.hiding is not None:
            drawn = (key.epoch, row) if self.anew and isinstance(key, Key) else None
            sample["input"], sample["target"] = self.hiding(self.encoded.tokens[row], drawn)
        if self.streams:
            sample["streams"] = {
                name: [stream(*pair) for pair in self._pairs(name, key)] for name, stream in self.streams.items()
            }
        return sample

    def _pairs(self, name: str, key: Key | int) -> Sequence[tuple[int, int]]:
        """What goes with a sample of a stream: a turn and a row each."""
        return key.streams[name] if isinstance(key, Key) else self.streams[name].of_position(key)

    def meta(self, row: int) -> dict[str, Any]:
        """See `SplitDataset.meta`."""
        return {name: values[row] for name, values in self.encoded.meta.items()}

    def input(self, position: int) -> Tensor:
        """Tokens ``(R, T)`` of the text at a position of the split."""
        return self.encoded.tokens[int(self.rows[position])]

    def shown(self, position: int) -> str:
        """The text at a position of the split."""
        return self.texts[int(self.rows[position])]

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Put samples into a batch, padded to the longest of them; vectors, such as a target, with `IGNORED`."""
        columns = {name: [sample[name] for sample in samples] for name in samples[0]}
        inputs, meta, drawn = columns.pop("input"), columns.pop("meta", ()), columns.pop("streams", ())
        batch = {
            "input": self.tokenizer.pad(inputs) if isinstance(inputs[0], Tensor) else default_collate(inputs),
            **{name: _together(column) for name, column in columns.items()},
        }
        if meta:
            batch["meta"] = {name: [own[name] for own in meta] for name in meta[0]}
        if drawn:
            batch["streams"] = {
                name: stream.collate([pair for own in drawn for pair in own[name]])
                for name, stream in self.streams.items()
            }
        return batch


def _together(column: list[Any]) -> Any:
    if isinstance(column[0], Mapping):
        return {name: _together([parts[name] for parts in column]) for name in column[0]}
    if isinstance(column[0], Tensor) and column[0].ndim == 1:
        return pad_sequence(column, batch_first=True, padding_value=IGNORED)
    return default_collate(column)

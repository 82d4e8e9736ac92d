"""Serve the texts of a split as tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from tunesmith.contract.batch import IGNORED, Batch
from tunesmith.contract.tree import Tree
from tunesmith.data.dataset import Encoding, Sample, SplitDataset
from tunesmith.data.sampler import Key
from tunesmith.data.table import Floats, Ints
from tunesmith.data.text.language import Hiding
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.data.text.unlabelled import Unlabelled
from tunesmith.target.table.cells import Targets


@dataclass(frozen=True)
class Encoded:
    """Texts and targets, encoded for a model.

    Attributes:
        tokens: Tokens of each text ``(R, T)``, int32, with R rows as in `tokenizer.ROWS`.
        targets: Targets as in `Table`; or the target of each token ``(T,)``, int64, of each text; or several by name.
            A batch pads vectors with `IGNORED`.
        cut: Positions of the texts that were cut.
        meta: Plain values of each text, by name.
    """

    tokens: Sequence[Tensor]
    targets: Targets | Encoding
    cut: Ints
    meta: Mapping[str, Sequence[object]] = field(default_factory=dict)


class TextDataset(SplitDataset):
    """The tokens of a split.

    Args:
        texts: Texts of the whole table, for display.
        encoded: Encoded texts of the whole table.
        tokenizer: Pads their tokens.
        rows: Rows of the table in this split.
        weights: Weights of the whole table ``(N,)``; ``None`` if the data have none.
        hiding: Hides the words that the model must predict; ``None`` to hide none.

    Attributes:
        anew: Whether other words are hidden in every epoch.
        streams: Unlabelled texts to add to batches, by name.
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

    def __getitem__(self, key: Key | int) -> Sample:
        """Return one sample with its unlabelled texts; see `SplitDataset`."""
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
        """Return pass and row of each text of a stream that goes with a sample."""
        return key.streams[name] if isinstance(key, Key) else self.streams[name].of_position(key)

    def meta(self, row: int) -> dict[str, object]:
        """See `SplitDataset.meta`."""
        return {name: values[row] for name, values in self.encoded.meta.items()}

    def input(self, position: int) -> Tensor:
        """Return the tokens ``(R, T)`` of the text at a position of the split."""
        return self.encoded.tokens[int(self.rows[position])]

    def shown(self, position: int) -> str:
        """Return the text at a position of the split."""
        return self.texts[int(self.rows[position])]

    def collate(self, samples: list[Sample]) -> Batch:
        """Collate samples, padded to the longest of them; vectors, such as targets, are padded with `IGNORED`."""
        inputs = [sample["input"] for sample in samples]
        tokens = [own for own in inputs if isinstance(own, Tensor)]
        batch: Batch = {
            "input": self.tokenizer.pad(tokens) if len(tokens) == len(inputs) else default_collate(inputs),
            "target": _collated([sample["target"] for sample in samples]),
            "index": default_collate([sample["index"] for sample in samples]),
        }
        if "weight" in samples[0]:
            batch["weight"] = default_collate([sample["weight"] for sample in samples])
        if "meta" in samples[0]:
            batch["meta"] = {name: [sample["meta"][name] for sample in samples] for name in samples[0]["meta"]}
        if "streams" in samples[0]:
            batch["streams"] = {
                name: stream.collate([pair for sample in samples for pair in sample["streams"][name]])
                for name, stream in self.streams.items()
            }
        return batch


def _collated(column: list[int | Tensor | Mapping[str, int | Tensor]]) -> Tree:
    parts = [own for own in column if isinstance(own, Mapping)]
    if parts:
        return {name: _collated([own[name] for own in parts]) for name in parts[0]}
    vectors = [own for own in column if isinstance(own, Tensor) and own.ndim == 1]
    if vectors:
        return pad_sequence(vectors, batch_first=True, padding_value=IGNORED)
    found: Tensor = default_collate(column)
    return found

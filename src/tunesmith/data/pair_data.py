"""The data module that every source of pairs of texts derives from: one is read, and one is to be written of it."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.contracts import Preprocess, TextPreprocess
from tunesmith.data.table import Ints, Text
from tunesmith.data.text import TextData
from tunesmith.data.text_dataset import Encoded
from tunesmith.data.tokens import Tokenizer
from tunesmith.errors import DataError

log = logging.getLogger(__name__)


class PairData(TextData, ABC):
    """Pairs of texts: what is read, and what is to be written of it; a row of the table holds both.

    Args:
        prefix: What is put in front of each text that is read, such as T5's ``"summarize: "``.
        max_target_length: Most tokens of a text that is to be written; longer ones are cut at the end.
        **common: Arguments of `TextData`.

    Raises:
        DataError: A number is out of range.
    """

    tokenizer: PairTokenizer

    def __init__(self, *, prefix: str = "", max_target_length: int = 128, **common: Any) -> None:
        super().__init__(**common)
        if max_target_length < 2:
            raise DataError(f"Expected data.max_target_length to be at least 2 tokens but got {max_target_length}.")
        self.prefix = prefix
        self.max_target_length = max_target_length

    def connect(self, preprocess: Preprocess | TextPreprocess) -> None:
        """Take over how the backbone wants its texts; see `TextData.connect`."""
        super().connect(preprocess)
        self.tokenizer = PairTokenizer(self.preprocess, self.max_target_length)

    def encode(self, samples: Sequence[Text], targets: Any) -> Encoded:
        """Tokenise pairs; or, where they are to be predicted, texts that are read. See `TextData.encode`."""
        if targets is None:
            samples = [(self.prefix + text[0],) for text in samples]
        tokens, cut = self.tokenizer(samples)
        if targets is None:
            return Encoded(tokens, np.full(len(samples), -1), cut)
        if len(self.tokenizer.cut):
            log.warning(
                f"{len(self.tokenizer.cut):,} of {len(samples):,} texts that are to be written are longer than "
                f"{self.tokenizer.most} tokens and are cut, first {self.table.names[self.tokenizer.cut[0]]} "
                "(data.max_target_length)."
            )
        return Encoded(tokens, [self.tokenizer.written(pair) for pair in tokens], cut)

    def inputs(self, rows: Sequence[int], device: torch.device) -> Any:
        """`Inputs` of rows of the table, without what the cache may keep of them."""
        return self.prepare([self._tokens[row] for row in rows], device)


class PairTokenizer(Tokenizer):
    """Makes tokens of pairs of texts: one that is read, and one that is written.

    A pair is rows of one tensor ``(R + 1, T)``, the last of them what is written; -1 behind the end of either.

    Args:
        preprocess: As for `Tokenizer`.
        most: Most tokens of a text that is written.

    Attributes:
        cut: Positions of the pairs whose second text was cut in the last call.
    """

    def __init__(self, preprocess: TextPreprocess, most: int) -> None:
        super().__init__(preprocess)
        self.most = min(most, preprocess.max_length)
        self.cut: list[int] = []

    def __call__(self, texts: Sequence[Text]) -> tuple[list[Tensor], Ints]:
        """Tokenise pairs, or single texts that are read; see `Tokenizer.__call__`."""
        found, cut = super().__call__([(text[0],) for text in texts])
        if len(texts[0]) == 1:
            return found, cut
        whole = self._own(text_target=[text[1] for text in texts], verbose=False)["input_ids"]
        self.cut = [i for i, ids in enumerate(whole) if len(ids) > self.most]
        short = self._own(
            text_target=[text[1] for text in texts], truncation=True, max_length=self.most, verbose=False
        )["input_ids"]
        return [_together(tokens, ids) for tokens, ids in zip(found, short, strict=True)], cut

    def written(self, pair: Tensor) -> Tensor:
        """Tokens of the second text of a pair ``(S,)``, int64."""
        return pair[-1, pair[-1] >= 0].long()

    def pad(self, samples: Sequence[Tensor], length: int = 0) -> dict[str, Tensor]:
        """Put pairs into a batch, each text padded behind; see `Tokenizer.pad`."""
        if len(samples[0]) == len(self._rows):
            return super().pad(samples, length)
        read = super().pad([pair[:-1, pair[0] >= 0] for pair in samples], length)
        written = super().pad([self.written(pair)[None] for pair in samples], length)
        return read | {"target_ids": written["input_ids"], "target_mask": written["attention_mask"]}


def _together(read: Tensor, written: Sequence[int]) -> Tensor:
    pair = read.new_full((len(read) + 1, max(read.shape[1], len(written))), -1)
    pair[:-1, : read.shape[1]] = read
    pair[-1, : len(written)] = torch.tensor(written)
    return pair

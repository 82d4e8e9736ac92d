"""The data module that every source of pairs of texts derives from: one is read, and one is to be written of it."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
from torch import Tensor

from tunesmith.contract.preprocess import Preprocess
from tunesmith.data.column import Mapped
from tunesmith.data.ragged import Ragged, int32
from tunesmith.data.table import Ints, Text
from tunesmith.data.text.dataset import Encoded
from tunesmith.data.text.module import TextData
from tunesmith.data.text.tokenizer import Columns, Tokenizer
from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.text import TextPreprocess

log = logging.getLogger(__name__)


class PairData(TextData, ABC):
    """Pairs of texts: what is read, and what is to be written of it; a row of the table holds both.

    Args:
        prefix: What is put in front of each text that is read, such as T5's ``"summarize: "``.
        max_target_length: Most tokens of a text that is to be written; longer ones are cut at the end.
        languages: Codes of the languages that are read and written, such as ``[en_XX, de_DE]``, for mBART, which is
            told them. ``None``: as the tokenizer's own files say.
        **common: Arguments of `TextData`.

    Raises:
        DataError: A number is out of range.
    """

    tokenizer: PairTokenizer

    def __init__(
        self, *, prefix: str = "", max_target_length: int = 128, languages: list[str] | None = None, **common: Any
    ) -> None:
        super().__init__(**common)
        if max_target_length < 2:
            raise DataError(f"Expected data.max_target_length to be at least 2 tokens but got {max_target_length}.")
        if languages is not None and len(languages) != 2:
            raise DataError(f"Expected data.languages to be what is read and what is written but got {languages}.")
        self.prefix, self.languages = prefix, tuple(languages or ())
        self.max_target_length = max_target_length

    def connect(self, preprocess: Preprocess) -> None:
        """Take over how the backbone wants its texts; see `TextData.connect`."""
        super().connect(preprocess)
        self.preprocess = replace(self.preprocess, languages=self.languages)
        self.vocabulary = self.tokenizer = PairTokenizer(self.preprocess, self.max_target_length)

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
        meta = {"pair": tokens, "reference": targets}
        return Encoded(tokens, Mapped(tokens, self.tokenizer.written), cut, meta)


class PairTokenizer(Tokenizer):
    """Makes tokens of pairs of texts: one that is read, and one that is written.

    A pair is rows of one tensor ``(R + 1, T)``, the last of them what is written; -1 behind the end of either.

    Args:
        preprocess: As for `Tokenizer`.
        most: Most tokens of a text that is written.

    Raises:
        ConfigError: The tokenizer knows no such languages, or must be told some.

    Attributes:
        cut: Positions of the pairs whose second text was cut in the last call.
    """

    def __init__(self, preprocess: TextPreprocess, most: int) -> None:
        super().__init__(preprocess)
        self._tell(preprocess.languages)
        self.most = min(most, preprocess.max_length)
        self.cut: list[int] = []

    def __call__(self, texts: Sequence[Text]) -> tuple[Sequence[Tensor], Ints]:
        """Tokenise pairs, or single texts that are read; see `Tokenizer.__call__`."""
        found, cut = super().__call__(Mapped(texts, itemgetter(slice(1))))
        if len(texts[0]) == 1:
            return found, cut
        columns = self._columns(f"{self.most} written", Mapped(texts, itemgetter(1)), self._written)
        self.cut = [int(number) for number in columns.get("cut", ())]
        return Ragged.of(map(_together, found, columns["tokens"])), cut

    def _written(self, start: int, texts: Sequence[str]) -> Columns:
        whole = self._own(text_target=list(texts), verbose=False)["input_ids"]
        short = self._own(text_target=list(texts), truncation=True, max_length=self.most, verbose=False)["input_ids"]
        cut = [[start + i] for i, tokens in enumerate(whole) if len(tokens) > self.most]
        return {"tokens": int32(short), "cut": int32(cut)}

    def _tell(self, languages: tuple[str, ...]) -> None:
        """Tell the tokenizer which language is read, and which is written."""
        if languages:
            known = hasattr(self._own, "tgt_lang")
            nothing = (None, self._own.unk_token_id)
            strange = [code for code in languages if not known or self._own.convert_tokens_to_ids(code) in nothing]
            if strange:
                raise ConfigError(
                    f"Expected languages that the tokenizer of {self.preprocess.tokenizer} knows but got "
                    f"{', '.join(strange)} (data.languages)"
                    f"{'' if known else '; it marks texts with none, so leave them out'}."
                )
            self._own.src_lang, self._own.tgt_lang = languages
        elif getattr(self._own, "tgt_lang", "") is None:
            raise ConfigError(
                f"Expected data.languages, such as [en_XX, de_DE], since the tokenizer of {self.preprocess.tokenizer} "
                "marks texts with their language, but got none."
            )

    @cached_property
    def begin(self) -> dict[str, int]:
        """What `generate` is to begin with, by its own words: the language that is written, where there is a mark."""
        code = getattr(self._own, "tgt_lang", None)
        if not code:
            return {}
        mark = int(self._own.convert_tokens_to_ids(code))
        # mBART's first models have it behind a text, from where it goes in front of what the decoder reads.
        last = self._own(text_target="a")["input_ids"][-1] == mark
        return {"decoder_start_token_id" if last else "forced_bos_token_id": mark}

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


def _together(read: Tensor, written: Tensor) -> Tensor:
    pair = read.new_full((len(read) + 1, max(read.shape[1], len(written))), -1)
    pair[:-1, : read.shape[1]] = read
    pair[-1, : len(written)] = written
    return pair

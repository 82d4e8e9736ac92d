"""Define the data module that every source of pairs of texts derives from: a source text and a text to write."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from operator import itemgetter

import numpy as np
from torch import Tensor
from typing_extensions import Unpack

from tunesmith.contract.preprocess import Preprocess
from tunesmith.data.arguments import TextArguments
from tunesmith.data.column import Mapped
from tunesmith.data.ragged import Ragged, int32
from tunesmith.data.table import Ints, Text
from tunesmith.data.text.dataset import Encoded
from tunesmith.data.text.module import TextData
from tunesmith.data.text.tokenizer import Columns, Tokenizer
from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.text import TextPreprocess
from tunesmith.target.table.cells import Targets

log = logging.getLogger(__name__)


class PairData(TextData, ABC):
    """Pairs of a source text and a target text; a row of the table holds both.

    Args:
        prefix: Prefix of each source text, such as T5's ``"summarize: "``.
        max_target_length: Maximum tokens per target text; longer texts are cut at the end.
        languages: Codes of source and target language for mBART, such as ``[en_XX, de_DE]``. ``None``: as in the
            tokenizer's own files.
        **common: Arguments of `TextData`.

    Raises:
        DataError: A number is out of range.
    """

    tokenizer: PairTokenizer

    def __init__(
        self,
        *,
        prefix: str = "",
        max_target_length: int = 128,
        languages: list[str] | None = None,
        **common: Unpack[TextArguments],
    ) -> None:
        super().__init__(**common)
        if max_target_length < 2:
            raise DataError(f"Expected data.max_target_length to be at least 2 tokens but got {max_target_length}.")
        if languages is not None and len(languages) != 2:
            raise DataError(f"Expected data.languages to be a source and a target language but got {languages}.")
        self.prefix, self.languages = prefix, tuple(languages or ())
        self.max_target_length = max_target_length

    def connect(self, preprocess: Preprocess) -> None:
        """Take over the backbone's preprocessing; see `TextData.connect`."""
        super().connect(preprocess)
        self.preprocess = replace(self.preprocess, languages=self.languages)
        self.vocabulary = self.tokenizer = PairTokenizer(self.preprocess, self.max_target_length)

    def encode(self, samples: Sequence[Text], targets: Targets | None) -> Encoded:
        """Tokenise pairs; for prediction, source texts. See `TextData.encode`."""
        if targets is None:
            samples = [(self.prefix + text[0],) for text in samples]
        tokens, cut = self.tokenizer(samples)
        if targets is None:
            return Encoded(tokens, np.full(len(samples), -1), cut)
        if len(self.tokenizer.cut):
            log.warning(
                f"{len(self.tokenizer.cut):,} of {len(samples):,} target texts are longer than "
                f"{self.tokenizer.most} tokens and are cut, first {self.table.names[self.tokenizer.cut[0]]} "
                "(data.max_target_length)."
            )
        assert not isinstance(targets, np.ndarray)  # but texts
        meta = {"pair": tokens, "reference": targets}
        return Encoded(tokens, Mapped(tokens, self.tokenizer.written), cut, meta)


class PairTokenizer(Tokenizer):
    """Tokenises pairs of a source text and a target text.

    A pair is one tensor ``(R + 1, T)``, whose last row is the target; both are padded with -1.

    Args:
        preprocess: Preprocessing of the backbone.
        most: Maximum tokens per target text.

    Raises:
        ConfigError: The tokenizer does not know the languages, or needs some and got none.

    Attributes:
        cut: Positions of the pairs whose target was cut in the last call.
    """

    def __init__(self, preprocess: TextPreprocess, most: int) -> None:
        super().__init__(preprocess)
        self._tell(preprocess.languages)
        self.most = min(most, preprocess.max_length)
        self.cut: list[int] = []

    def __call__(self, texts: Sequence[Text]) -> tuple[Sequence[Tensor], Ints]:
        """Tokenise pairs, or source texts alone; see `Tokenizer.__call__`."""
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
        """Set the tokenizer's source and target language."""
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
        """First generated token, under the library's names for it: the mark of the target language, if there is one."""
        code = getattr(self._own, "tgt_lang", None)
        if not code:
            return {}
        mark = int(self._own.convert_tokens_to_ids(code))
        # mBART's first models mark the language at the end of a text, and the decoder's input begins with that mark.
        last = self._own(text_target="a")["input_ids"][-1] == mark
        return {"decoder_start_token_id" if last else "forced_bos_token_id": mark}

    def written(self, pair: Tensor) -> Tensor:
        """Return the tokens of a pair's target text ``(S,)``, int64."""
        return pair[-1, pair[-1] >= 0].long()

    def pad(self, samples: Sequence[Tensor], length: int = 0) -> dict[str, Tensor]:
        """Collate pairs, with each text padded at its end; see `Tokenizer.pad`."""
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

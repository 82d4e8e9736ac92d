"""From texts to tokens, once for all epochs, and from tokens to a padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.contracts import TextPreprocess
from tunesmith.data.table import Ints, Text
from tunesmith.errors import ConfigError, MissingExtraError

ROWS = ("input_ids", "token_type_ids")
"""What is kept of a text, a row each: its tokens and, where the model wants it, which part of a pair each is of."""

AT_ONCE = 1024
"""Texts that are tokenised together."""


class Tokenizer:
    """Makes tokens of texts as a backbone wants them.

    Args:
        preprocess: How.

    Raises:
        MissingExtraError: The library is not installed.
        ConfigError: The tokenizer cannot be read, or knows more tokens than the backbone.
    """

    def __init__(self, preprocess: TextPreprocess) -> None:
        self.preprocess = preprocess
        self._own = _load(preprocess)
        if len(self._own) > preprocess.vocabulary:
            raise ConfigError(
                f"Expected a tokenizer of at most {preprocess.vocabulary} tokens, as the backbone knows, but the one "
                f"of {preprocess.tokenizer} has {len(self._own)}."
            )
        self._rows = [name for name in ROWS if name in self._own.model_input_names or name == ROWS[0]]
        # The mask tells padding from tokens, so any token will do where the model was trained without padding.
        self.padding = next((n for n in (self._own.pad_token_id, self._own.eos_token_id) if n is not None), 0)

    def __call__(self, texts: Sequence[Text]) -> tuple[list[Tensor], Ints]:
        """Tokenise texts, cutting long ones at their end; of a pair, the longer part.

        Returns:
            Tokens of each text ``(R, T)``, int32, with R rows as in `ROWS`; and the positions of those that were cut.
        """
        found: list[Tensor] = []
        for start in range(0, len(texts), AT_ONCE):
            encoded = self._encode(texts[start : start + AT_ONCE], cut=True)
            rows = zip(*(encoded[name] for name in self._rows), strict=True)
            found += [torch.tensor(row, dtype=torch.int32) for row in rows]
        most = self.preprocess.max_length
        full = [i for i, tokens in enumerate(found) if tokens.shape[1] == most]
        whole = self._encode([texts[i] for i in full], cut=False)[ROWS[0]] if full else []
        return found, np.array([i for i, tokens in zip(full, whole, strict=True) if len(tokens) > most], dtype=np.int64)

    def located(self, texts: Sequence[str]) -> tuple[list[Tensor], list[Ints]]:
        """Tokenise texts, cutting long ones at their end, and say where in its text each token stands.

        Returns:
            Tokens of each text ``(R, T)``; and where each begins and ends ``(T, 2)``, in characters: 0 and 0 of those
            that are of no text.

        Raises:
            ConfigError: The tokenizer does not know.
        """
        self._check_fast()
        found: list[Tensor] = []
        offsets: list[Ints] = []
        for start in range(0, len(texts), AT_ONCE):
            some = [(text,) for text in texts[start : start + AT_ONCE]]
            encoded = self._encode(some, cut=True, return_offsets_mapping=True)
            rows = zip(*(encoded[name] for name in self._rows), strict=True)
            found += [torch.tensor(row, dtype=torch.int32) for row in rows]
            offsets += [np.array(places, dtype=np.int64) for places in encoded["offset_mapping"]]
        return found, offsets

    def shortened(self, texts: Sequence[str], most: int) -> tuple[list[str], Ints]:
        """Cut texts at their end to a number of tokens, marks left out.

        Returns:
            The texts, and the positions of those that were cut.
        """
        found, cut = list(texts), []
        for start in range(0, len(texts), AT_ONCE):
            some = list(texts[start : start + AT_ONCE])
            encoded = self._own(some, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            for i, places in enumerate(encoded["offset_mapping"], start):
                if len(places) > most:
                    found[i] = texts[i][: places[most - 1][1]]
                    cut.append(i)
        return found, np.array(cut, dtype=np.int64)

    def windows(
        self, first: Sequence[str], second: Sequence[str], shared: int
    ) -> tuple[list[Tensor], Ints, list[Ints]]:
        """Tokenise pairs, with as much of the second text in each of several windows as goes with all of the first.

        Args:
            first: N texts.
            second: As many.
            shared: Tokens of the second text that neighbouring windows share.

        Returns:
            Tokens of each window ``(R, T)``; the pair that each is of ``(W,)``; and where each token begins and ends in
            the second text ``(T, 2)``, -1 and -1 of all others.

        Raises:
            ConfigError: The tokenizer does not know.
        """
        self._check_fast()
        found: list[Tensor] = []
        pairs: list[int] = []
        places: list[Ints] = []
        for start in range(0, len(first), AT_ONCE):
            encoded = self._own(
                list(first[start : start + AT_ONCE]),
                list(second[start : start + AT_ONCE]),
                truncation="only_second",
                max_length=self.preprocess.max_length,
                stride=shared,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                verbose=False,
            )
            rows = zip(*(encoded[name] for name in self._rows), strict=True)
            found += [torch.tensor(row, dtype=torch.int32) for row in rows]
            pairs += [start + number for number in encoded["overflow_to_sample_mapping"]]
            for i, own in enumerate(encoded["offset_mapping"]):
                of_second = np.array([part == 1 for part in encoded.sequence_ids(i)])
                places.append(np.where(of_second[:, None], np.array(own, dtype=np.int64), -1))
        return found, np.array(pairs, dtype=np.int64), places

    def _check_fast(self) -> None:
        if not self._own.is_fast:
            raise ConfigError(
                f"Expected a tokenizer that knows where its tokens stand but that of {self.preprocess.tokenizer} does "
                "not; choose a model with a tokenizer.json."
            )

    def _encode(self, texts: Sequence[Text], cut: bool, **more: Any) -> Any:
        parts = list(zip(*texts, strict=True))
        most = self.preprocess.max_length if cut else None
        return self._own(*map(list, parts), truncation=cut, max_length=most, verbose=False, **more)

    def unmarked(self, text: str) -> tuple[list[int], list[int]]:
        """Tokens of a whole text, however long, without those that mark its ends; and where each begins in it.

        Raises:
            ConfigError: The tokenizer does not know.
        """
        self._check_fast()
        encoded = self._own(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return encoded[ROWS[0]], [begin for begin, _ in encoded["offset_mapping"]]

    def marks(self) -> tuple[list[int], list[int]]:
        """Tokens that mark the begin of a text, and those that mark its end."""
        bare, marked = (self._own("a", add_special_tokens=add)[ROWS[0]] for add in (False, True))
        begin = next(i for i in range(len(marked)) if marked[i : i + len(bare)] == bare)
        return marked[:begin], marked[begin + len(bare) :]

    def rows(self, tokens: Sequence[int]) -> Tensor:
        """Tokens of a text as `__call__` gives them ``(R, T)``, int32."""
        return torch.tensor([tokens, *([[0] * len(tokens)] * (len(self._rows) - 1))], dtype=torch.int32)

    @property
    def end(self) -> int | None:
        """The token that ends a text, where a model writes one."""
        found: int | None = self._own.eos_token_id
        return found

    @property
    def mask(self) -> int | None:
        """The token that stands for a hidden one."""
        found: int | None = self._own.mask_token_id
        return found

    @property
    def special(self) -> list[int]:
        """Tokens that are no words of texts."""
        return sorted(set(self._own.all_special_ids))

    def __len__(self) -> int:
        """Number of tokens that it knows."""
        return len(self._own)

    def text(self, tokens: Sequence[int]) -> str:
        """The text that tokens are, without those that are no words."""
        found: str = self._own.decode(list(tokens), skip_special_tokens=True)
        return found.strip()

    def pad(self, samples: Sequence[Tensor], length: int = 0) -> dict[str, Tensor]:
        """Put tokens of texts into a batch, padded behind to the longest of them.

        Args:
            samples: B of ``(R, T)``.
            length: To pad to where that is more.

        Returns:
            As `contracts.Inputs` says, each ``(B, T)``, int64.
        """
        longest = max(length, max(sample.shape[1] for sample in samples))
        batch = torch.zeros(len(samples), len(self._rows), longest, dtype=torch.int64)
        batch[:, 0] = self.padding
        mask = torch.zeros(len(samples), longest, dtype=torch.int64)
        for i, sample in enumerate(samples):
            batch[i, :, : sample.shape[1]] = sample
            mask[i, : sample.shape[1]] = 1
        return {name: batch[:, i].contiguous() for i, name in enumerate(self._rows)} | {"attention_mask": mask}


def _load(preprocess: TextPreprocess) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("transformers", "text") from error
    try:
        return AutoTokenizer.from_pretrained(preprocess.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each kind of tokenizer has its own
        raise ConfigError(
            f"Expected a tokenizer in {preprocess.folder} but it cannot be read ({_first_line(error)}): put the files "
            "of the model's tokenizer there, such as tokenizer.json."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""Tokenise texts once for all epochs, and pad tokens to batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from tunesmith.data.progress import track
from tunesmith.data.ragged import Packer, arrays_of, int32, numbers_of
from tunesmith.data.table import Ints, Text
from tunesmith.data.tabular.shelf import Places
from tunesmith.errors import ConfigError, MissingExtraError
from tunesmith.modality.text import TextPreprocess

ROWS = ("input_ids", "token_type_ids")
"""Rows of a tokenised text: its tokens and, if the model needs it, the part of a pair that each belongs to."""

AT_ONCE = 1024
"""Number of texts that are tokenised together."""

Columns = Mapping[str, Sequence[Tensor]]
"""Results for N texts by name: int32 tensors of any shape and number; an empty result has no name."""

T = TypeVar("T")


class Keep(Places, Protocol):
    """A cache of tokens, and of tables."""

    def __call__(self, tokenizer: Tokenizer, how: str, texts: Sequence[object], make: Callable[[], Columns]) -> Columns:
        """Find the result for the same texts and method, or make it."""
        ...


class Tokenizer:
    """Tokenises texts for a backbone.

    Args:
        preprocess: Preprocessing of the backbone.

    Raises:
        MissingExtraError: The library is not installed.
        ConfigError: The tokenizer cannot be read, or has more tokens than the backbone.

    Attributes:
        keep: Cache of tokens; ``None`` for none.
    """

    keep: Keep | None = None

    def __init__(self, preprocess: TextPreprocess) -> None:
        self.preprocess = preprocess
        self._own = _load(preprocess)
        if len(self._own) > preprocess.vocabulary:
            raise ConfigError(
                f"Expected a tokenizer of at most {preprocess.vocabulary} tokens, as the backbone knows, but the one "
                f"of {preprocess.tokenizer} has {len(self._own)}."
            )
        self._rows = [name for name in ROWS if name in self._own.model_input_names or name == ROWS[0]]
        # The mask distinguishes padding from tokens, so any token will do if the model was trained without padding.
        self.padding = next((n for n in (self._own.pad_token_id, self._own.eos_token_id) if n is not None), 0)

    def __call__(self, texts: Sequence[Text]) -> tuple[Sequence[Tensor], Ints]:
        """Tokenise texts, cutting long ones at their end; of a pair, the longer part.

        Returns:
            Tokens of each text ``(R, T)``, int32, with R rows as in `ROWS`; and the positions of the texts that were
            cut.
        """
        self._check_room(len(texts[0]) if len(texts) else 1)
        columns = self._columns("cut at the end", texts, self._cut)
        return columns["tokens"], numbers_of(columns.get("cut", ()))

    def _cut(self, start: int, texts: Sequence[Text]) -> Columns:
        tokens = self._tensors(self._encode(texts, cut=True))
        most = self.preprocess.max_length
        full = [i for i, own in enumerate(tokens) if own.shape[1] == most]
        whole = self._encode([texts[i] for i in full], cut=False)[ROWS[0]] if full else []
        cut = [[start + i] for i, own in zip(full, whole, strict=True) if len(own) > most]
        return {"tokens": tokens, "cut": int32(cut)}

    def _columns(self, how: str, texts: Sequence[T], make: Callable[[int, Sequence[T]], Columns]) -> Columns:
        """Compute results for texts in blocks, or find them in the cache.

        Args:
            how: Name of the results, with all that they depend on besides the texts and `preprocess`.
            texts: N texts.
            make: Computes a block from the position of its first text and the texts.
        """

        def anew() -> Columns:
            found: dict[str, Packer] = {}
            starts = range(0, len(texts), AT_ONCE)
            for start in track(starts, "Making tokens, a thousand texts at a time", len(starts)):
                for name, column in make(start, texts[start : start + AT_ONCE]).items():
                    found.setdefault(name, Packer()).add(column)
            return {name: packer.packed() for name, packer in found.items()}

        return self.keep(self, how, texts, anew) if self.keep else anew()

    def _tensors(self, encoded: Mapping[str, Sequence[Sequence[int]]]) -> list[Tensor]:
        sizes = [len(own) for own in encoded[ROWS[0]]]
        flat = torch.tensor([list(chain.from_iterable(encoded[name])) for name in self._rows], dtype=torch.int32)
        return list(torch.split(flat, sizes, dim=1))

    def located(self, texts: Sequence[str]) -> tuple[Sequence[Tensor], list[Ints]]:
        """Tokenise texts, cutting long ones at their end, and locate each token in its text.

        Returns:
            Tokens of each text ``(R, T)``; and begin and end of each token ``(T, 2)``, in characters: 0 and 0 outside
            the text.

        Raises:
            ConfigError: The tokenizer cannot locate tokens.
        """
        self._check_fast()
        self._check_room(1)
        columns = self._columns("where each stands", texts, self._located)
        return columns["tokens"], arrays_of(columns["places"])

    def _located(self, start: int, texts: Sequence[str]) -> Columns:
        encoded = self._encode([(text,) for text in texts], cut=True, return_offsets_mapping=True)
        return {"tokens": self._tensors(encoded), "places": int32(encoded["offset_mapping"])}

    def shortened(self, texts: Sequence[str], most: int) -> tuple[list[str], Ints]:
        """Cut texts to a number of tokens, not counting marks; also return the positions of those that were cut."""
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
    ) -> tuple[Sequence[Tensor], Ints, list[Ints]]:
        """Tokenise pairs in windows that each hold the whole first text and a part of the second.

        Args:
            first: N texts.
            second: N texts.
            shared: Tokens of the second text that neighbouring windows share.

        Returns:
            Tokens of each window ``(R, T)``; its pair ``(W,)``; and begin and end of each token in the second text
            ``(T, 2)``, -1 and -1 for all others.

        Raises:
            ConfigError: The tokenizer cannot locate tokens.
        """
        self._check_fast()
        columns = self._columns(
            f"windows that share {shared}",
            list(zip(first, second, strict=True)),
            lambda start, pairs: self._windows(start, pairs, shared),
        )
        return columns["tokens"], numbers_of(columns["pairs"]), arrays_of(columns["places"])

    def _windows(self, start: int, pairs: Sequence[Text], shared: int) -> Columns:
        encoded = self._encode(
            pairs,
            cut="only_second",
            stride=shared,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        places = []
        for i, own in enumerate(encoded["offset_mapping"]):
            of_second = torch.tensor([part == 1 for part in encoded.sequence_ids(i)])
            places.append(torch.where(of_second[:, None], torch.tensor(own, dtype=torch.int32), -1))
        numbers = [[start + number] for number in encoded["overflow_to_sample_mapping"]]
        return {"tokens": self._tensors(encoded), "pairs": int32(numbers), "places": places}

    def _check_room(self, parts: int) -> None:
        marks = self._own.num_special_tokens_to_add(pair=parts == 2)
        if self.preprocess.max_length <= marks:
            raise ConfigError(
                f"Expected data.max_length above {marks}, since {marks} tokens mark the ends of a "
                f"{'pair' if parts == 2 else 'text'}, but got {self.preprocess.max_length}."
            )

    def _check_fast(self) -> None:
        if not self._own.is_fast:
            raise ConfigError(
                f"Expected a tokenizer that can locate its tokens but that of {self.preprocess.tokenizer} "
                "cannot; choose a model with a tokenizer.json."
            )

    def _encode(self, texts: Sequence[Text], cut: bool | str, **more: object) -> Any:
        parts = list(zip(*texts, strict=True))
        most = self.preprocess.max_length if cut else None
        return self._own(*map(list, parts), truncation=cut, max_length=most, verbose=False, **more)

    def unmarked(self, text: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a whole text, without marks, and where each begins in it."""
        self._check_fast()
        columns = self._columns("without marks", [text], self._unmarked)
        return columns["tokens"][0].tolist(), columns["begins"][0].tolist()

    def _unmarked(self, start: int, texts: Sequence[str]) -> Columns:
        encoded = self._own(texts[0], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        begins = [begin for begin, _ in encoded["offset_mapping"]]
        return {"tokens": int32([encoded[ROWS[0]]]), "begins": int32([begins])}

    def marks(self) -> tuple[list[int], list[int]]:
        """Return the tokens that mark the begin of a text, and those that mark its end."""
        bare, marked = (self._own("a", add_special_tokens=add)[ROWS[0]] for add in (False, True))
        begin = next(i for i in range(len(marked)) if marked[i : i + len(bare)] == bare)
        return marked[:begin], marked[begin + len(bare) :]

    def rows(self, tokens: Sequence[int]) -> Tensor:
        """Return the tokens of a text as from `__call__` ``(R, T)``, int32."""
        return torch.tensor([tokens, *([[0] * len(tokens)] * (len(self._rows) - 1))], dtype=torch.int32)

    @property
    def end(self) -> int | None:
        """The token that ends a generated text; ``None`` if there is none."""
        found: int | None = self._own.eos_token_id
        return found

    @property
    def mask(self) -> int | None:
        """The mask token; ``None`` if there is none."""
        found: int | None = self._own.mask_token_id
        return found

    @property
    def begin(self) -> Mapping[str, int]:
        """First generated token, under the library's names for it; empty for the model's own."""
        return {}

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return self  # shared by copies of a task

    @property
    def special(self) -> list[int]:
        """Tokens that are no words of texts."""
        return sorted(set(self._own.all_special_ids))

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self._own)

    def text(self, tokens: Sequence[int]) -> str:
        """Decode tokens to a text, without special tokens."""
        found: str = self._own.decode(list(tokens), skip_special_tokens=True)
        return found.strip()

    def pad(self, samples: Sequence[Tensor], length: int = 0) -> dict[str, Tensor]:
        """Collate tokens, padded at the end to the longest text.

        Args:
            samples: Tokens of B texts ``(R, T)``.
            length: Minimum length of the result.

        Returns:
            Tokens and mask as in `Inputs`, each ``(B, T)``, int64.
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
    except Exception as error:  # each kind of tokenizer raises its own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"Expected a tokenizer in {preprocess.folder} but it cannot be read ({line}): put the files "
            "of the model's tokenizer there, such as tokenizer.json."
        ) from error

"""Make the targets of language modelling: next tokens or hidden ones; and pack texts into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunesmith.contract.batch import IGNORED
from tunesmith.data.ragged import Ragged
from tunesmith.data.randomness import private
from tunesmith.data.table import Ints, Text
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.errors import ConfigError, DataError


def following(tokens: Tensor) -> Tensor:
    """Return the target of each token of a text ``(R, T)``: the next one ``(T,)``; `IGNORED` for the last."""
    ids = tokens[0].long()
    return torch.cat([ids[1:], ids.new_full((1,), IGNORED)])


def continued(tokenizer: Tokenizer, texts: Sequence[Text]) -> tuple[Sequence[Tensor], Ints]:
    """Tokenise texts for a decoder, each with an end token if the tokenizer has one and it fits; see `Tokenizer`."""
    found, cut = tokenizer(texts)
    most, end = tokenizer.preprocess.max_length, tokenizer.end
    if end is not None:
        last = tokenizer.rows([end])
        found = Ragged.of(
            torch.cat([tokens, last], dim=1) if int(tokens[0, -1]) != end and tokens.shape[1] < most else tokens
            for tokens in found
        )
    return found, cut


def begun(tokenizer: Tokenizer, texts: Sequence[Text]) -> tuple[Sequence[Tensor], Ints]:
    """Tokenise texts that a decoder will continue, without the marks of their end; see `Tokenizer`."""
    found, cut = tokenizer(texts)
    end = tokenizer.marks()[1]
    return [t[:, : -len(end)] if end and t[0, -len(end) :].tolist() == end else t for t in found], cut


@dataclass(frozen=True)
class Hiding:
    """Hides tokens as in BERT (Devlin et al., 2019).

    Draws a share of the word tokens, at least one; 80 % of these become the mask, 10 % a random token, and 10 % stay
    unchanged. The draw is a function of (seed, epoch, row) or, in evaluation, of the text only.

    Attributes:
        share: Share of the words, above 0, at most 1.
        mask: The mask token.
        special: Tokens that are no words, and are never drawn.
        vocabulary: Number of tokens.
        seed: Seed of the draw.
    """

    share: float
    mask: int
    special: tuple[int, ...]
    vocabulary: int
    seed: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, share: float, seed: int) -> Hiding:
        """Make one for a tokenizer.

        Raises:
            ConfigError: The tokenizer has no mask token.
        """
        if tokenizer.mask is None:
            raise ConfigError(
                f"Expected a tokenizer with a mask token for hiding words but that of {tokenizer.preprocess.tokenizer} "
                "has none; use a masked language model, such as package:minilm."
            )
        return cls(share, tokenizer.mask, tuple(tokenizer.special), len(tokenizer), seed)

    def __call__(self, tokens: Tensor, drawn_for: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """Hide tokens of a text.

        Args:
            tokens: ``(R, T)``.
            drawn_for: Epoch and row; ``None`` to always hide the same ones.

        Returns:
            The text with hidden tokens ``(R, T)``, and the hidden ones ``(T,)``, int64, `IGNORED` elsewhere.
        """
        ids = tokens[0].long()
        drawn = private("hidden", *(ids.tolist() if drawn_for is None else (self.seed, *drawn_for)))
        words = (~torch.isin(ids, torch.tensor(self.special))).nonzero().flatten()
        count = min(len(words), max(1, round(self.share * len(words))))
        chosen = words[torch.randperm(len(words), generator=drawn)[:count]]
        fate = torch.rand(count, generator=drawn)
        any_token = torch.randint(self.vocabulary, (count,), generator=drawn)
        target = torch.full_like(ids, IGNORED)
        target[chosen] = ids[chosen]
        shown = torch.where(fate < 0.8, torch.full_like(any_token, self.mask), any_token)
        shown = torch.where(fate < 0.9, shown, ids[chosen])
        hidden = tokens.clone()
        hidden[0, chosen] = shown.to(tokens.dtype)
        return hidden, target


def pack(tokenizer: Tokenizer, text: str, size: int, ends: bool) -> list[tuple[str, Tensor]]:
    """Cut a text into blocks of equal numbers of tokens, with marks of begin and end; the last block may be shorter.

    Args:
        tokenizer: The tokenizer.
        text: Text of any length.
        size: Tokens per block, including the marks.
        ends: Whether to append the end token, which decoders learn.

    Returns:
        The part of the text in each block, and its tokens ``(R, T)``.

    Raises:
        DataError: Blocks are too short for a word.
    """
    (first, last), (tokens, places) = tokenizer.marks(), tokenizer.unmarked(text)
    room = size - len(first) - len(last)
    if room < 1:
        raise DataError(
            f"Expected data.block_size to be at least {len(first) + len(last) + 1}, since {len(first) + len(last)} "
            f"tokens mark a text's ends, but got {size}."
        )
    if ends and tokenizer.end is not None and not last:
        tokens, places = [*tokens, tokenizer.end], [*places, len(text)]
    starts = range(0, len(tokens), room)
    borders = [0, *(places[start] for start in starts[1:]), len(text)]
    return [
        (text[begin:end], tokenizer.rows([*first, *tokens[start : start + room], *last]))
        for start, begin, end in zip(starts, borders[:-1], borders[1:], strict=True)
    ]

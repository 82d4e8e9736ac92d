"""Define the data module that every source of tagged words derives from."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.contract.spec import DataSpec
from tunesmith.data.table import Ints, Text
from tunesmith.data.text.dataset import Encoded
from tunesmith.data.text.module import TextData
from tunesmith.target.table.cells import Targets

_WORD = re.compile(r"\w+|[^\w\s]")


class TaggedData(TextData, ABC):
    """Texts whose words have tags; samples are tuples of words, targets tuples of class indices.

    Words are joined with spaces and tokenised, and a word's tag belongs to its first token. A word that `max_length`
    cuts off is not trained on, and metrics count it as not found.

    Attributes:
        places: Begin and end of each word in the texts to predict on; after `predict_on`.
    """

    between = " "
    places: list[list[tuple[int, int]]]

    def lost(self, encoded: Encoded) -> str:
        """Report how many words have no token."""
        assert isinstance(encoded.targets, Mapping)
        words = encoded.targets["starts"]
        number = sum(int((own < 0).sum()) for own in words)
        return f" {number:,} of {sum(map(len, words)):,} words are cut off: they count as not found."

    def encode(self, samples: Sequence[Text], targets: Targets | None) -> Encoded:
        """Tokenise words joined with spaces; a tag belongs to the first token of its word."""
        texts, places = zip(*(joined(words) for words in samples), strict=True)
        tokens, offsets = self.tokenizer.located(texts)
        words = [torch.from_numpy(first_tokens(p, o)) for p, o in zip(places, offsets, strict=True)]
        tags = (
            [torch.tensor(own) for own in targets] if targets is not None else [torch.zeros_like(own) for own in words]
        )
        wanted = []
        for own, first, said in zip(tokens, words, tags, strict=True):
            target = torch.full((own.shape[1],), IGNORED, dtype=torch.int64)
            target[first[first >= 0]] = said[first >= 0]
            wanted.append(target)
        cut = np.array([i for i, first in enumerate(words) if (first < 0).any()], dtype=np.int64)
        return Encoded(tokens, {"tokens": wanted, "starts": words, "words": tags}, cut)

    def predict_on(self, samples: Sequence[Text], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve texts, split into words, and set `places`."""
        self.places = [find_words(text) for (text,) in samples]
        words = [tuple(text[a:b] for a, b in own) for (text,), own in zip(samples, self.places, strict=True)]
        super().predict_on(words, spec)


def find_words(text: str) -> list[tuple[int, int]]:
    """Return begin and end of each word in a text; each punctuation mark is a word."""
    return [match.span() for match in _WORD.finditer(text)]


def joined(words: Sequence[str]) -> tuple[str, Ints]:
    """Join words with spaces, and return where each begins and ends in the result ``(W, 2)``."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    begins = ends - [len(word) for word in words]
    return " ".join(words), np.stack([begins, ends], axis=1).astype(np.int64)


def first_tokens(places: Ints, offsets: Ints) -> Ints:
    """Find the first token of each word, by aligning character offsets.

    A word's tag is read off and trained at its first token only, as BERT does for named entities (Devlin et al. 2019,
    section 5.3).

    Args:
        places: Begin and end of each word ``(W, 2)``, ascending, in characters.
        offsets: Begin and end of each token ``(T, 2)`` in characters; 0 and 0 for tokens outside the text.

    Returns:
        Positions of tokens ``(W,)``; -1 for a word without a token of its own.
    """
    own = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    begins, ends = offsets[own].T
    # The first token that ends after the word's begin: some tokens start with the space before the word.
    first = np.searchsorted(ends, places[:, 0], side="right")
    there = first < len(own)
    there[there] = begins[first[there]] < places[there, 1]
    there[1:] &= ~(there[:-1] & (first[1:] == first[:-1]))  # a token that spans two words belongs to the first
    found = np.full(len(places), -1, np.int64)
    found[there] = own[first[there]]
    return found

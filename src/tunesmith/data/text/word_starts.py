"""Find the words of a text, and the token with which each word begins."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tunesmith.data.table import Ints

_WORD = re.compile(r"\w+|[^\w\s]")


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

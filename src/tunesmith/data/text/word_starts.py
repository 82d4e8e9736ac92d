"""Words of a text: where they stand, and which token each of them begins with."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tunesmith.data.table import Ints

_WORD = re.compile(r"\w+|[^\w\s]")


def find_words(text: str) -> list[tuple[int, int]]:
    """Begin and end of each word of a text; each mark of punctuation is a word."""
    return [match.span() for match in _WORD.finditer(text)]


def joined(words: Sequence[str]) -> tuple[str, Ints]:
    """Words with blanks between them, and where each of them begins and ends in that ``(W, 2)``."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    begins = ends - [len(word) for word in words]
    return " ".join(words), np.stack([begins, ends], axis=1).astype(np.int64)


def first_tokens(places: Ints, offsets: Ints) -> Ints:
    """The token that each word begins with.

    Args:
        places: Where each word begins and ends ``(W, 2)``, rising.
        offsets: Where each token does ``(T, 2)``; 0 and 0 of those that are of no text.

    Returns:
        Positions of tokens ``(W,)``; -1 of a word that has no token, or none of its own.
    """
    own = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    begins, ends = offsets[own].T
    # The first that reaches into the word: some tokens have the blank in front of them in them.
    first = np.searchsorted(ends, places[:, 0], side="right")
    there = first < len(own)
    there[there] = begins[first[there]] < places[there, 1]
    there[1:] &= ~(there[:-1] & (first[1:] == first[:-1]))  # it is of the word in front
    found = np.full(len(places), -1, np.int64)
    found[there] = own[first[there]]
    return found

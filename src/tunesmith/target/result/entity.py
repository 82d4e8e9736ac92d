"""Find entities, such as names of several words, in the tags of a text's words."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pandas as pd

from tunesmith.errors import MissingExtraError

Scheme = Literal["IOB2", "IOB1", "IOE2", "IOE1", "IOBES", "BILOU"]
Entity = tuple[str, int, int]
"""Type, index of the first word, and index after the last."""

OUTSIDE = "O"


def load_scheme(name: str) -> type:
    """Return seqeval's class of a scheme.

    Raises:
        MissingExtraError: seqeval is not installed.
    """
    try:
        import seqeval.scheme as library
    except ImportError as error:
        raise MissingExtraError("seqeval", "text") from error
    found: type = getattr(library, name)
    return found


# Every metric asks for the truth again in every epoch.
@functools.lru_cache(maxsize=100_000)
def entities(tags: tuple[str, ...], scheme: str = "IOB2") -> frozenset[Entity]:
    """Find the entities of a text, strictly: only those that begin as the scheme requires."""
    from seqeval.scheme import Tokens

    return frozenset((e.tag, e.start, e.end) for e in Tokens(list(tags), load_scheme(scheme)).entities)


def tags_of(labels: Sequence[int], names: Sequence[str]) -> tuple[str, ...]:
    """Name the tags of a text's words; ``O`` for words without a prediction."""
    return tuple(OUTSIDE if label < 0 else names[label] for label in labels)


def by_type(pairs: Sequence[tuple[frozenset[Entity], frozenset[Entity]]]) -> pd.DataFrame:
    """Return one row per entity type from pairs of predicted and true entities per text."""
    said, true, right = (
        Counter(entity[0] for pair in pairs for entity in choose(*pair))
        for choose in (lambda s, _: s, lambda _, t: t, lambda s, t: s & t)
    )
    kinds = sorted(said | true)
    return pd.DataFrame(
        {
            "entity": kinds,
            "precision": [right[kind] / max(said[kind], 1) for kind in kinds],
            "recall": [right[kind] / max(true[kind], 1) for kind in kinds],
            "f1": [2 * right[kind] / max(said[kind] + true[kind], 1) for kind in kinds],
            "support": [true[kind] for kind in kinds],
        }
    )

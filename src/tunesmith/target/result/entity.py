"""Entities in the tags of a text's words, such as a name of several words."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from tunesmith.errors import MissingExtraError

Scheme = Literal["IOB2", "IOB1", "IOE2", "IOE1", "IOBES", "BILOU"]
Entity = tuple[str, int, int]
"""Its type, its first word, and the one behind its last."""

OUTSIDE = "O"


def load_scheme(name: str) -> Any:
    """The class of a scheme, of seqeval's.

    Raises:
        MissingExtraError: seqeval is not installed.
    """
    try:
        import seqeval.scheme as library
    except ImportError as error:
        raise MissingExtraError("seqeval", "text") from error
    return getattr(library, name)


# The truth is asked for again in every epoch, and by every metric.
@functools.lru_cache(maxsize=100_000)
def entities(tags: tuple[str, ...], scheme: str = "IOB2") -> frozenset[Entity]:
    """Find the entities of a text, strictly: what does not begin as the scheme says is none."""
    from seqeval.scheme import Tokens

    return frozenset((e.tag, e.start, e.end) for e in Tokens(list(tags), load_scheme(scheme)).entities)


def tags_of(labels: Sequence[int], names: Sequence[str]) -> tuple[str, ...]:
    """Names of the tags of a text's words; ``O`` where nothing was said."""
    return tuple(OUTSIDE if label < 0 else names[label] for label in labels)


def by_type(pairs: Sequence[tuple[frozenset[Entity], frozenset[Entity]]]) -> pd.DataFrame:
    """A row per type of entity, by what was said and what is true of each text; none where there are none."""
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

"""Generate sentences with names of persons, places and companies, whose kind follows from the words around them.

All names are made of the same syllables and hardly any occurs twice, so memorising names does not help.
"""

from __future__ import annotations

import random
from typing import final

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import TextArguments
from tunesmith.data.table import Table
from tunesmith.data.text.tagged import TaggedData
from tunesmith.errors import DataError

KINDS = {"person": "PER", "place": "LOC", "company": "ORG"}
TEMPLATES = (
    *("{person} lives in {place} .", "{person} works for {company} in {place} .", "It rained all day in {place} ."),
    *(
        "{company} has opened an office in {place} .",
        "The mayor of {place} met {person} .",
        "Nobody answered {person} .",
    ),
    *("{person} was born in {place} and joined {company} .", "From {place} , {person} wrote to {person} ."),
    *("{company} sued {company} over a bridge in {place} .", "Shares of {company} fell after {person} left ."),
    *("His doctor , {person} , drove to {place} .", "The chairman of {company} resigned on Monday ."),
)
SYLLABLES = "al ber cor dan el fen gar hol ist jor kal lin mor nel ost per qui ras sol tar ur ven wil yor"


@final
class SyntheticTags(TaggedData):
    """Generated sentences with names of one word or two.

    Args:
        samples: Number of sentences.
        data_seed: Seed of the sentences; neither the split's nor the run's.
        **common: Arguments of `TextData`.
    """

    def __init__(self, *, samples: int = 800, data_seed: int = 0, **common: Unpack[TextArguments]) -> None:
        super().__init__(**common)
        if samples < len(TEMPLATES):
            raise DataError(f"Expected at least {len(TEMPLATES)} data.samples but got {samples}.")
        self.samples = samples
        self.data_seed = data_seed

    def load(self) -> Table:
        """Generate the sentences."""
        rng = random.Random(self.data_seed)
        classes = [*sorted([f"{prefix}-{kind}" for kind in KINDS.values() for prefix in "BI"]), "O"]
        drawn: dict[tuple[str, ...], list[str]] = {}
        while len(drawn) < self.samples:
            words, tags = zip(*_sentence(TEMPLATES[len(drawn) % len(TEMPLATES)], rng), strict=True)
            drawn.setdefault(words, list(tags))
        return Table(
            samples=list(drawn),
            targets=[tuple(map(classes.index, tags)) for tags in drawn.values()],
            class_names=tuple(classes),
            names=np.array([f"sentence{i:05d}" for i in range(self.samples)]),
            modality=self.modality,
            kind="tags",
        )


def draw_name(rng: random.Random) -> list[str]:
    """Draw a name of one word or two, of two syllables each."""
    return ["".join(rng.sample(SYLLABLES.split(), 2)).capitalize() for _ in range(rng.choice((1, 2)))]


def _sentence(template: str, rng: random.Random) -> list[tuple[str, str]]:
    found = []
    for part in template.split():
        kind = KINDS.get(part.strip("{}"))
        if kind is None:
            found.append((part, "O"))
        else:
            found += [(word, f"{'I' if i else 'B'}-{kind}") for i, word in enumerate(draw_name(rng))]
    return found

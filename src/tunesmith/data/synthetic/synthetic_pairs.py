"""Generate pairs of texts with known answers: translations, or summaries."""

from __future__ import annotations

import random
from typing import Literal, final

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import PairArguments
from tunesmith.data.synthetic.grammar import document, sentences, translated
from tunesmith.data.table import Table
from tunesmith.data.text.pair_data import PairData
from tunesmith.errors import DataError


@final
class SyntheticPairs(PairData):
    """Sentences of a small language and their translations, or documents and their summaries.

    Args:
        kind: ``translation`` of sentences into a language in which adjectives follow nouns; or ``summary`` of three
            sentences by two words of the one after ``therefore``.
        samples: Number of pairs.
        data_seed: Seed of the pairs; neither the split's nor the run's.
        **common: Arguments of `PairData`.

    Raises:
        DataError: There is no such kind, or there are too few samples.
    """

    def __init__(
        self,
        *,
        kind: Literal["translation", "summary"] = "translation",
        samples: int = 600,
        data_seed: int = 0,
        **common: Unpack[PairArguments],
    ) -> None:
        super().__init__(**common)
        most = len(sentences()) if kind == "translation" else samples
        if kind not in ("translation", "summary") or not 2 <= samples <= most:
            raise DataError(
                "Expected kind translation, with 2 to 1,260 samples, or summary, with 2 or more, but got "
                f"{kind} with {samples}."
            )
        self.kind, self.samples, self.data_seed = kind, samples, data_seed

    def load(self) -> Table:
        """Generate the pairs."""
        draw = random.Random(self.data_seed)
        if self.kind == "translation":  # each once, so that a test has new ones only
            pairs = [(words, translated(words)) for words in draw.sample(sentences(), self.samples)]
        else:
            pairs = [document(draw) for _ in range(self.samples)]
        texts = [(self.prefix + " ".join(read), " ".join(written)) for read, written in pairs]
        names = np.array([f"pair{row:05d}" for row in range(len(texts))])
        return Table(texts, [text[1] for text in texts], (), names, modality=self.modality, kind="text")

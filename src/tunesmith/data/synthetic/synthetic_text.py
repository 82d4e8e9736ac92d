"""Generate texts whose lowest possible perplexity is known."""

from __future__ import annotations

import random
from typing import final

import numpy as np
from typing_extensions import Unpack

from tunesmith.data.arguments import TextArguments
from tunesmith.data.synthetic.grammar import sentence
from tunesmith.data.table import Table
from tunesmith.data.text.module import TextData
from tunesmith.errors import DataError


@final
class SyntheticText(TextData):
    """Texts of a small language, for language models; the rules give a perplexity of 3.29 per word (`grammar.entropy`).

    Args:
        samples: Number of texts.
        sentences: Sentences per text.
        data_seed: Seed of the texts; neither the split's nor the run's.
        **common: Arguments of `TextData`.

    Raises:
        DataError: A number is out of range.
    """

    def __init__(
        self, *, samples: int = 600, sentences: int = 4, data_seed: int = 0, **common: Unpack[TextArguments]
    ) -> None:
        super().__init__(**common)
        if samples < 2 or sentences < 1:
            raise DataError(f"Expected samples >= 2 and sentences >= 1 but got {samples} and {sentences}.")
        self.samples, self.sentences, self.data_seed = samples, sentences, data_seed

    def load(self) -> Table:
        """Generate the texts."""
        draw = random.Random(self.data_seed)
        texts = [
            (" ".join(word for _ in range(self.sentences) for word in sentence(draw)),) for _ in range(self.samples)
        ]
        names = np.array([f"text{row:05d}" for row in range(len(texts))])
        return Table(texts, [0] * len(texts), (), names, modality=self.modality, kind="tokens")

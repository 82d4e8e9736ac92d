"""A text's own tokens, without labels: the next of each, or those that are hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import pyarrow as pa

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.predictions import Answers, Predictions
from tunesmith.target.result.sequences import Sequences, written
from tunesmith.target.table.cells import Cells, Found


@final
class TokensTarget(Target):
    """Nothing per sample, such as 0: the samples themselves are what is to be learnt.

    A batch has what each token is to give ``(B, T)`` int64, `IGNORED` where it does not count.
    """

    name = "tokens"
    plural = "plain texts"
    loss = "cross_entropy"
    head = "language_model"
    output_per = "token"
    written = True

    def cache_key(self) -> dict[str, str]:
        """Texts that are learnt themselves are read with other ends."""
        return {"target": self.name}

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Nothing of any column."""
        return Found(self.name, [0] * len(columns), ())

    def given(self, targets: Any, names: tuple[str, ...]) -> Found:
        """Nothing of what a source has at hand."""
        return Found(self.name, [0] * len(targets), ())

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """A row per text: how many of its tokens were to be given, and their loss and perplexity."""
        nll = found["nll"].double().numpy()
        columns = {"file": names, "tokens": found["tokens"].numpy(), "loss": nll, "perplexity": np.exp(nll)}
        said = [f"perplexity {value:.4g}" for value in columns["perplexity"]]
        return Sequences(names, said, pa.table(columns))

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """A row per text: what it was, and what was written."""
        return written(asked, list(found["predictions"]))


TARGET = TokensTarget()

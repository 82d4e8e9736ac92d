"""Define targets of unlabelled texts: the next token of each, or hidden ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import pyarrow as pa

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.predictions import Answers, Predictions, each, tensor
from tunesmith.target.result.sequences import Sequences, written
from tunesmith.target.table.cells import Cells, Found


@final
class TokensTarget(Target[Sequence[int]]):
    """A placeholder, 0, per sample: the samples themselves are what is learnt.

    A batch has the target of each token ``(B, T)`` int64, or `IGNORED`.
    """

    name = "tokens"
    plural = "plain texts"
    loss = "cross_entropy"
    head = "language_model"
    output_per = "token"
    written = True

    def cache_key(self) -> dict[str, str]:
        """Return the kind: texts that are learnt end in other tokens."""
        return {"target": self.name}

    def learnt(
        self, columns: Cells, labels: Sequence[str], separator: str | None, classes: Sequence[str] | None
    ) -> Found:
        """Ignore all columns."""
        return Found(self.name, [0] * len(columns), ())

    def given(self, targets: Sequence[int], names: tuple[str, ...]) -> Found:
        """Ignore the targets that a source has."""
        return Found(self.name, [0] * len(targets), ())

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make one row per text: number of predicted tokens, their loss and perplexity."""
        nll = tensor(found["nll"]).double().numpy()
        columns = {"file": names, "tokens": tensor(found["tokens"]).numpy(), "loss": nll, "perplexity": np.exp(nll)}
        said = [f"perplexity {value:.4g}" for value in columns["perplexity"]]
        return Sequences(names, said, pa.table(columns))

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make one row per text: the input and the text written."""
        return written(asked, [str(own) for own in each(found["predictions"])])


TARGET = TokensTarget()

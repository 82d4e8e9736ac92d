"""A text that is to be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import pyarrow as pa

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.predictions import Answers, Predictions
from tunesmith.target.result.sequences import Sequences, written


@final
class TextTarget(Target):
    """The text to be written of another, a string per sample.

    A batch has what each token is to give ``(B, T)`` int64, `IGNORED` where it does not count.
    """

    name = "text"
    plural = "texts to be written"
    loss = "cross_entropy"
    head = "language_model"
    output_per = "token"

    def cache_key(self) -> dict[str, str]:
        """What is read goes through a backbone together with what is to be written."""
        return {"target": self.name}

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """A row per text: what was to be written, what was, and the loss of the former."""
        said, truth, loss = found["written"], found["truth"], found["nll"].double().numpy()
        rows = pa.table({"file": names, "target": truth, "written": said, "loss": loss})
        wrong = np.where([own == true for own, true in zip(said, truth, strict=True)], 0, loss)
        return Sequences(names, said, rows, truth, wrong)

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """A row per text: what it was, and what was written."""
        return written(asked, list(found["predictions"]))


TARGET = TextTarget()

"""Define targets of a text to generate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import pyarrow as pa

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.predictions import Answers, Predictions, each, tensor
from tunesmith.target.result.sequences import Sequences, written


@final
class TextTarget(Target[Sequence[str]]):
    """The text to generate from another, one string per sample.

    A batch has the target of each token ``(B, T)`` int64, or `IGNORED`.
    """

    name = "text"
    plural = "texts to generate"
    loss = "cross_entropy"
    head = "language_model"
    output_per = "token"

    def cache_key(self) -> dict[str, str]:
        """Return the kind: the backbone's input includes the text to generate."""
        return {"target": self.name}

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make one row per text: the true text, the text written, and the loss of the true one."""
        said, truth = [str(own) for own in each(found["written"])], [str(own) for own in each(found["truth"])]
        loss = tensor(found["nll"]).double().numpy()
        rows = pa.table({"file": names, "target": truth, "written": said, "loss": loss})
        wrong = np.where([own == true for own, true in zip(said, truth, strict=True)], 0, loss)
        return Sequences(names, said, rows, truth, wrong)

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make one row per text: the input and the text written."""
        return written(asked, [str(own) for own in each(found["predictions"])])


TARGET = TextTarget()

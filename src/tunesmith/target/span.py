"""Begin and end of an answer in a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.answer import choose, exact_match, f1
from tunesmith.target.result.predictions import Answers, Predictions
from tunesmith.target.result.sequences import Sequences
from tunesmith.target.table.check import counts_of, indicators
from tunesmith.target.table.strata import Floats, Ints

SHOWN = 5
"""Answers that people are shown of a prediction."""


@final
class SpanTarget(Target):
    """The accepted answers to a question, each with its first character; none where it has no answer.

    A batch has a mapping: ``span``, first and last token of the answer ``(B, 2)``; ``begins`` and ``ends``, the
    characters that each token begins at and ends in front of ``(B, T)``, negative outside the text; ``question``, the
    number of the question that a sample is a window of ``(B,)``.

    Tables have a row per question: the best answer over its windows.
    """

    name = "span"
    plural = "answers"
    title = "questions"
    loss = "cross_entropy"
    head = "tokens"
    output_per = "token"

    def counts(self, targets: Any, names: tuple[str, ...]) -> Ints:
        """Number of questions with an answer and without ``(K,)``."""
        return counts_of([_index(target) for target in targets], names)

    def occurrences(self, targets: Any, names: tuple[str, ...]) -> Floats:
        """Whether each question has an answer, 0 or 1 ``(R, K)``."""
        return indicators([[_index(target)] for target in targets], names)

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """A row per question: accepted answers, with ``|`` between them, the answer, and how sure it is."""
        said = _said(found)
        first = np.searchsorted(found["question"].numpy(), said.question)  # windows of a question follow one another
        truth = [found["answers"][i] for i in first]
        values = np.array([[exact_match(s, t), f1(s, t)] for s, t in zip(said.texts, truth, strict=True)])
        kinds = np.array([_index(own) for own in truth])
        classes = enumerate(task.spec.class_names)
        rows = [(name, *values[kinds == i].mean(axis=0), int((kinds == i).sum())) for i, name in classes]
        titles = [names[i] for i in first]
        accepted = [" | ".join(dict.fromkeys(own)) for own in truth]
        return Sequences(
            titles,
            said.texts,
            pa.table({"file": titles, "target": accepted, "label": said.texts, "score": said.sure}),
            accepted,
            1 - values[:, 1],
            pd.DataFrame(rows, columns=["questions", "exact_match", "f1", "support"]),
            places=first.tolist(),
        )

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """A row per question: the answer, its place in the text, and how sure it is; empty cells for no answer."""
        said = _said(found)
        answered = [text != "" for text in said.texts]

        def only(values: Any) -> list[Any]:
            return [value if own else None for value, own in zip(values.tolist(), answered, strict=True)]

        columns = {
            "row": [int(number) + 1 for number in said.question],
            **{key: [data.asked[number][i] for number in said.question] for i, key in enumerate(("question", "text"))},
            "answer": said.texts,
            "begin": only(said.begin),
            "end": only(said.end),
            "score": only(said.sure),
        }
        shown = [f"{q}: {text or '(no answer)'}" for q, text in zip(columns["question"], said.texts, strict=True)]
        more = [f"… {len(shown) - SHOWN:,} more"] if len(shown) > SHOWN else []
        lines = shown[:SHOWN] + more
        return Sequences(asked.names, said.texts, pa.table(columns), lines=lines, column=asked.column)


TARGET = SpanTarget()


@dataclass(frozen=True)
class _Said:
    """What is said to each question ``(Q,)``: its number, the answer, empty for none, its place, how sure it is."""

    question: NDArray[np.int64]
    texts: list[str]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    sure: NDArray[np.float32]


def _said(found: Mapping[str, Any]) -> _Said:
    chosen = choose(found["question"], found["best"], found["null"])
    window = chosen.window
    texts = ["" if none else found["said"][i] for i, none in zip(window.tolist(), chosen.none.tolist(), strict=True)]
    begin, end, sure = (found[key][window].numpy() for key in ("begin", "end", "sure"))
    return _Said(chosen.question.numpy(), texts, begin, end, sure)


def _index(answers: Any) -> int:
    """The name that a question counts for: 0 with an answer, 1 without."""
    return 0 if answers else 1

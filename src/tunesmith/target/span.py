"""Define targets of an answer's begin and end in a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.answer import choose, exact_match, f1
from tunesmith.target.result.predictions import Answers, Predictions, each, tensor
from tunesmith.target.result.sequences import Sequences
from tunesmith.target.table.check import counts_of, indicators
from tunesmith.target.table.strata import Floats, Ints

SHOWN = 5
"""Number of answers to print after a prediction."""


@final
class SpanTarget(Target[Sequence[Sequence[object]]]):
    """Accepted answers to a question, each with the position of its first character; empty without an answer.

    A batch has a mapping: ``span``, first and last token of the answer ``(B, 2)``; ``begins`` and ``ends``, first
    character of each token and the one after its last ``(B, T)``, negative outside the text; ``question``, number of
    the question that a window belongs to ``(B,)``.

    Tables have one row per question: the best answer over its windows.
    """

    name = "span"
    plural = "answers"
    title = "questions"
    loss = "cross_entropy"
    head = "tokens"
    output_per = "token"

    def counts(self, targets: Sequence[Sequence[object]], names: tuple[str, ...]) -> Ints:
        """Count the questions with and without an answer ``(2,)``."""
        return counts_of([_index(target) for target in targets], names)

    def occurrences(self, targets: Sequence[Sequence[object]], names: tuple[str, ...]) -> Floats:
        """Return whether each question has an answer or none, 0 or 1 ``(R, 2)``."""
        return indicators([[_index(target)] for target in targets], names)

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make one row per question: accepted answers, separated by ``|``, the predicted answer and its score."""
        said = _said(found)
        first = np.searchsorted(tensor(found["question"]).numpy(), said.question)  # windows are sorted by question
        answers = each(found["answers"])
        truth = [_texts(answers[i]) for i in first]
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

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make one row per question: the answer, its position in the text and its score; empty cells for no answer."""
        assert isinstance(data, Questions)
        said = _said(found)
        answered = [text != "" for text in said.texts]

        def only(values: Floats | Ints) -> list[float | None]:
            return [value if own else None for value, own in zip(values.tolist(), answered, strict=True)]

        columns: dict[str, Sequence[object]] = {
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


@runtime_checkable
class Questions(Protocol):
    """A data module that serves questions.

    Attributes:
        asked: Question and text of each.
    """

    asked: Sequence[Sequence[str]]


@dataclass(frozen=True)
class _Said:
    """The answer to each question ``(Q,)``: number, text (empty for none), first and last character, score."""

    question: NDArray[np.int64]
    texts: list[str]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    sure: NDArray[np.float32]


def _said(found: Mapping[str, object]) -> _Said:
    chosen = choose(tensor(found["question"]), tensor(found["best"]), tensor(found["null"]))
    window = chosen.window
    own = each(found["said"])
    texts = ["" if none else str(own[i]) for i, none in zip(window.tolist(), chosen.none.tolist(), strict=True)]
    begin, end, sure = (tensor(found[key])[window].numpy() for key in ("begin", "end", "sure"))
    return _Said(chosen.question.numpy(), texts, begin, end, sure)


def _texts(answers: object) -> list[str]:
    assert isinstance(answers, list | tuple)
    return [str(answer) for answer in answers]


def _index(answers: Sequence[object]) -> int:
    """Return the index of the name that a question counts for: 0 with an answer, 1 without."""
    return 0 if answers else 1

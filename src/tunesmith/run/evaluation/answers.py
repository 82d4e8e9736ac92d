"""What a model said to questions: the best answer over the windows of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.run.evaluation.predictions import Sequences
from tunesmith.task.metric.answer import choose, exact_match, f1

SHOWN = 5
"""Answers that people are shown of a prediction."""


def tested(task: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """A row a question: accepted answers, with ``|`` between them, the answer, and how sure it is."""
    said = _said(found)
    first = np.searchsorted(found["question"].numpy(), said.question)  # windows of a question follow one another
    truth = [found["answers"][i] for i in first]
    classes = task.spec.class_names
    values = np.array([[exact_match(s, t), f1(s, t)] for s, t in zip(said.texts, truth, strict=True)])
    kinds = np.array([0 if own else 1 for own in truth])
    rows = [(name, *values[kinds == i].mean(axis=0), int((kinds == i).sum())) for i, name in enumerate(classes)]
    titles = [names[i] for i in first]
    accepted = [" | ".join(dict.fromkeys(own)) for own in truth]
    return Sequences(
        titles,
        said.texts,
        "span",
        classes,
        accepted,
        1 - values[:, 1],
        pd.DataFrame(rows, columns=["questions", "exact_match", "f1", "support"]),
        pa.table({"file": titles, "target": accepted, "label": said.texts, "score": said.sure}),
        places=first.tolist(),
    )


def predicted(task: Any, data: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """A row a question: the answer, where it stands in the text, and how sure it is; empty cells for no answer."""
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
    shown = [
        f"{question}: {text or '(no answer)'}" for question, text in zip(columns["question"], said.texts, strict=True)
    ]
    more = [f"… {len(shown) - SHOWN:,} more"] if len(shown) > SHOWN else []
    return Sequences(
        list(names), said.texts, "span", rows=pa.table(columns), summary=shown[:SHOWN] + more, column="text"
    )


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

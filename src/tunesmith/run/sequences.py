"""What a model said of samples of which it says any number of things, such as a tag for each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tunesmith.contracts import Target
from tunesmith.run.predictions import save
from tunesmith.task.answer import choose, exact_match, f1
from tunesmith.task.entity import Entity, EntityScore, entities, tags_of


@dataclass(frozen=True)
class Sequences:
    """What was said of the samples of one split, or of what is predicted; `Predictions` is of one thing a sample.

    Attributes:
        files: What each sample is called ``(N,)``, or the text itself.
        said: What is said of each, in words.
        kind: Of the target, as `DataSpec` has it.
        class_names: As `DataSpec` has them.
        targets: The truth, likewise in words; ``None`` where it is not known.
        wrong: How wrong each is ``(N,)``, 0 where it is right; empty where the truth is not known.
        classes: A row a class: its name, ``precision``, ``recall``, ``f1`` and ``support``; empty where there are none.
        rows: The saved table, where that has another form than a row a sample.
        summary: What people are shown of a prediction, a line each.
        column: What the first column of the saved table is called.
        places: In the split, of each sample, where the split has several for some of them; empty where it has not.
    """

    files: list[str]
    said: list[str]
    kind: Target
    class_names: tuple[str, ...] = ()
    targets: list[str] | None = None
    wrong: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    classes: pd.DataFrame = field(default_factory=pd.DataFrame)
    rows: pa.Table | None = None
    summary: list[str] = field(default_factory=list)
    column: Literal["file", "text"] = "file"
    places: list[int] = field(default_factory=list)

    def table(self) -> pa.Table:
        """One row a sample: its ``file`` or ``text``, ``target`` where known and ``label``; or what ``rows`` holds."""
        if self.rows is not None:
            return self.rows
        truth = {} if self.targets is None else {"target": self.targets}
        return pa.table({self.column: self.files, **truth, "label": self.said})

    def save(self, path: Path) -> None:
        """Write the table: see `predictions.save`."""
        save(self.table(), path)

    def caption(self, i: int) -> str:
        """What a sample is called, what was said of it and what, in truth, is."""
        assert self.targets is not None
        return f"{self.files[i]}: {self.said[i] or 'nothing'}, in truth {self.targets[i] or 'nothing'}"

    def by_class(self) -> pd.DataFrame:
        """One row a class; none where there are no classes."""
        return self.classes

    def wrongness(self) -> NDArray[np.float64]:
        """How wrong each sample is ``(N,)``, 0 where it is right."""
        return self.wrong


def tested(task: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """What a test said.

    Args:
        task: The task.
        names: Of the samples.
        found: What it kept of the test, of all samples.
    """
    return _TESTED[task.spec.target](task, names, found)


def predicted(task: Any, data: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """What a prediction said.

    Args:
        task: The task.
        data: The data module, which was given the texts.
        names: The texts as they are shown.
        found: What each step gave, of all samples: see ``predict_step`` of the task.
    """
    return _PREDICTED[task.spec.target](task, data, names, found)


# ── tags ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tags(task: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """A tag for each word, with blanks between them; ``_`` for a word that was cut off."""
    classes, scheme = task.spec.class_names, _scheme(task)
    said = [_labels(values) for values in found["predictions"]]
    truth = [own.tolist() for own in found["target"]]
    pairs = [(tags_of(s, classes), tags_of(t, classes)) for s, t in zip(said, truth, strict=True)]
    wrong = [sum(a != b for a, b in zip(s, t, strict=True)) for s, t in zip(said, truth, strict=True)]
    return Sequences(
        list(names),
        [" ".join("_" if label < 0 else classes[label] for label in own) for own in said],
        "tags",
        classes,
        [" ".join(own) for _, own in pairs],
        np.array(wrong, dtype=np.float64),
        _by_type([(entities(s, scheme), entities(t, scheme)) for s, t in pairs] if scheme else []),
    )


def _new_tags(task: Any, data: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """A row an entity, with its place in the text; or a word, where the tags are none of entities."""
    classes, scheme = task.spec.class_names, _scheme(task)
    rows: list[tuple[Any, ...]] = []
    for number, (text, places, values) in enumerate(zip(names, data.places, found["predictions"], strict=True), 1):
        labels = _labels(values)
        score, tags = values.max(dim=1).values.tolist(), tags_of(labels, classes)
        spans = sorted(entities(tags, scheme), key=lambda e: e[1]) if scheme else _each(tags, labels)
        for kind, first, end in spans:
            begin, stop = places[first][0], places[end - 1][1]
            rows.append((number, text, begin, stop, text[begin:stop], kind, float(np.mean(score[first:end]))))
        if not spans:
            rows.append((number, text, None, None, None, None, None))
    columns = ("row", "text", "begin", "end", "entity" if scheme else "word", "label", "score")
    counts = Counter(row[5] for row in rows if row[5] is not None)
    cut = sum(int((values.sum(dim=1) == 0).sum()) for values in found["predictions"])
    return Sequences(
        list(names),
        ["" for _ in names],
        "tags",
        classes,
        rows=pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)}),
        summary=[f"{count:>7,} {name}" for name, count in counts.most_common()]
        + ([f"{cut:,} words are behind the longest text that the model sees: nothing is said of them."] if cut else []),
        column="text",
    )


def _scheme(task: Any) -> str | None:
    """How tags say where an entity begins, as the metrics have it; ``None`` where none is of entities."""
    scores = (metric for metric in task.test_metrics.values(copy_state=False) if isinstance(metric, EntityScore))
    return next((metric.scheme for metric in scores), None)


def _labels(values: Any) -> list[int]:
    """The most probable tag of each word, of probabilities ``(W, K)``; -1 of a word without any."""
    return [int(row.argmax()) if row.any() else -1 for row in values]


def _each(tags: Sequence[str], labels: Sequence[int]) -> list[Entity]:
    return [(tag, i, i + 1) for i, (tag, label) in enumerate(zip(tags, labels, strict=True)) if label >= 0]


def _by_type(pairs: Sequence[tuple[frozenset[Entity], frozenset[Entity]]]) -> pd.DataFrame:
    said, true, right = (
        Counter(entity[0] for pair in pairs for entity in choose(*pair))
        for choose in (lambda s, _: s, lambda _, t: t, lambda s, t: s & t)
    )
    kinds = sorted(said | true)
    return pd.DataFrame(
        {
            "entity": kinds,
            "precision": [right[kind] / max(said[kind], 1) for kind in kinds],
            "recall": [right[kind] / max(true[kind], 1) for kind in kinds],
            "f1": [2 * right[kind] / max(said[kind] + true[kind], 1) for kind in kinds],
            "support": [true[kind] for kind in kinds],
        }
    )


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _answers(task: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
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


def _new_answers(task: Any, data: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
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


SHOWN = 5
"""Answers that people are shown of a prediction."""


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


_TESTED: Mapping[str, Callable[..., Sequences]] = {"tags": _tags, "span": _answers}
_PREDICTED: Mapping[str, Callable[..., Sequences]] = {"tags": _new_tags, "span": _new_answers}

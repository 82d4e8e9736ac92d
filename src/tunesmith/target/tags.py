"""Define targets of one class per word, such as whether it names a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

import numpy as np
import pyarrow as pa

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.entity import Entity, by_type, entities, tags_of
from tunesmith.target.result.predictions import Answers, Predictions, each, tensor
from tunesmith.target.result.sequences import Sequences
from tunesmith.target.table.check import counts_of, indicators
from tunesmith.target.table.strata import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor


@final
class TagsTarget(Target[Sequence[Sequence[int]]]):
    """Class indices of a text's words, one tuple per sample.

    A batch has a mapping: ``tokens``, target of each token ``(B, T)`` int64, or `IGNORED`; ``starts``, first token of
    each word ``(B, W)``, -1 if the word was cut off, `IGNORED` after a sample's last word; ``words``, tags of the words
    ``(B, W)``.

    The table of a test has the tags of each text, separated by spaces, ``_`` for a word that was cut off; that of a
    prediction has one row per entity, with its position in the text, or per word if the tags mark no entities.
    """

    name = "tags"
    plural = "tags"
    title = "tag"
    unit = "tag"
    total = "all words"
    loss = "cross_entropy"
    head = "tokens"
    output_per = "token"

    def counts(self, targets: Sequence[Sequence[int]], names: tuple[str, ...]) -> Ints:
        """Count the words with each tag ``(K,)``."""
        return counts_of([tag for own in targets for tag in own], names)

    def occurrences(self, targets: Sequence[Sequence[int]], names: tuple[str, ...]) -> Floats:
        """Return which tags occur in each text, 0 or 1 ``(R, K)``."""
        return indicators(targets, names)

    def quoted(self, name: str) -> str:
        """Return the tag in quotation marks."""
        return f"“{name}”"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, object]) -> Predictions:
        """Make one row per text."""
        classes, scheme = task.spec.class_names, task.scheme
        said = [_labels(tensor(values)) for values in each(found["predictions"])]
        truth: list[list[int]] = [tensor(own).tolist() for own in each(found["target"])]
        pairs = [(tags_of(s, classes), tags_of(t, classes)) for s, t in zip(said, truth, strict=True)]
        wrong = [sum(a != b for a, b in zip(s, t, strict=True)) for s, t in zip(said, truth, strict=True)]
        shown = [" ".join("_" if label < 0 else classes[label] for label in own) for own in said]
        true = [" ".join(own) for _, own in pairs]
        return Sequences(
            names,
            shown,
            pa.table({"file": names, "target": true, "label": shown}),
            true,
            np.array(wrong, dtype=np.float64),
            by_type([(entities(s, scheme), entities(t, scheme)) for s, t in pairs] if scheme else []),
        )

    def predicted(self, task: Answers, data: object, asked: Asked, found: Mapping[str, object]) -> Predictions:
        """Make one row per entity, or per word."""
        assert isinstance(data, Words)
        predictions = [tensor(values) for values in each(found["predictions"])]
        rows: list[Row] = []
        texts = zip(asked.names, data.places, predictions, strict=True)
        for number, (text, places, values) in enumerate(texts, 1):
            rows += _rows(number, text, places, values, task)
        columns = ("row", "text", "begin", "end", "entity" if task.scheme else "word", "label", "score")
        counts = Counter(row[5] for row in rows if row[5] is not None)
        cut = sum(int((values.sum(dim=1) == 0).sum()) for values in predictions)
        lines = [f"{count:>7,} {name}" for name, count in counts.most_common()]
        if cut:
            lines.append(f"{cut:,} words exceed the model's maximum text length and have no prediction.")
        table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)})
        return Sequences(asked.names, ["" for _ in asked.names], table, lines=lines, column=asked.column)


TARGET = TagsTarget()

Row = tuple[int, str, int | None, int | None, str | None, str | None, float | None]
"""Number and text of a sample, begin and end of an entity, its words, its label and its score."""


@runtime_checkable
class Words(Protocol):
    """A data module that serves texts of words.

    Attributes:
        places: First character of each word and the one after its last, per text.
    """

    places: Sequence[Sequence[tuple[int, int]]]


def _rows(number: int, text: str, places: Sequence[tuple[int, int]], values: Tensor, task: Answers) -> list[Row]:
    """Make the rows of one text from the probabilities of its words ``(W, K)``; one with empty cells for none."""
    labels, score = _labels(values), values.max(dim=1).values.tolist()
    tags = tags_of(labels, task.spec.class_names)
    spans = sorted(entities(tags, task.scheme), key=lambda e: e[1]) if task.scheme else _each(tags, labels)
    rows: list[Row] = []
    for kind, first, end in spans:
        begin, stop = places[first][0], places[end - 1][1]
        rows.append((number, text, begin, stop, text[begin:stop], kind, float(np.mean(score[first:end]))))
    return rows or [(number, text, None, None, None, None, None)]


def _labels(values: Tensor) -> list[int]:
    """Return the most probable tag of each word from probabilities ``(W, K)``; -1 for a word without any."""
    return [int(row.argmax()) if row.any() else -1 for row in values]


def _each(tags: Sequence[str], labels: Sequence[int]) -> list[Entity]:
    return [(tag, i, i + 1) for i, (tag, label) in enumerate(zip(tags, labels, strict=True)) if label >= 0]

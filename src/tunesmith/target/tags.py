"""A class for each word of a text, such as whether it names a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import pyarrow as pa

from tunesmith.contract.asked import Asked
from tunesmith.target.base import Target
from tunesmith.target.result.entity import Entity, by_type, entities, tags_of
from tunesmith.target.result.predictions import Answers, Predictions
from tunesmith.target.result.sequences import Sequences
from tunesmith.target.table.check import counts_of, indicators
from tunesmith.target.table.strata import Floats, Ints


@final
class TagsTarget(Target):
    """The class indices of a text's words, a tuple per sample.

    A batch has a mapping: ``tokens``, what each token is to give ``(B, T)`` int64, `IGNORED` where it does not count;
    ``starts``, the token at which each word begins ``(B, W)``, -1 where no token of it is there, `IGNORED` behind a
    sample's last word; and ``words``, their tags ``(B, W)``.

    A test's table has a tag for each word, with blanks between them, ``_`` for a word that was cut off; a prediction's
    has a row per entity, with its place in the text, or per word, where the tags are none of entities.
    """

    name = "tags"
    plural = "tags"
    title = "tag"
    unit = "tag"
    total = "all words"
    loss = "cross_entropy"
    head = "tokens"
    output_per = "token"

    def counts(self, targets: Any, names: tuple[str, ...]) -> Ints:
        """Number of words with each tag ``(K,)``."""
        return counts_of([tag for own in targets for tag in own], names)

    def occurrences(self, targets: Any, names: tuple[str, ...]) -> Floats:
        """Which tags occur in each text, 0 or 1 ``(R, K)``."""
        return indicators(targets, names)

    def quoted(self, name: str) -> str:
        """The tag, marked as one."""
        return f"“{name}”"

    def tested(self, task: Answers, names: list[str], found: Mapping[str, Any]) -> Predictions:
        """A row per text."""
        classes, scheme = task.spec.class_names, task.scheme
        said = [_labels(values) for values in found["predictions"]]
        truth = [own.tolist() for own in found["target"]]
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

    def predicted(self, task: Answers, data: Any, asked: Asked, found: Mapping[str, Any]) -> Predictions:
        """A row per entity, or per word."""
        rows: list[tuple[Any, ...]] = []
        texts = zip(asked.names, data.places, found["predictions"], strict=True)
        for number, (text, places, values) in enumerate(texts, 1):
            rows += _rows(number, text, places, values, task)
        columns = ("row", "text", "begin", "end", "entity" if task.scheme else "word", "label", "score")
        counts = Counter(row[5] for row in rows if row[5] is not None)
        cut = sum(int((values.sum(dim=1) == 0).sum()) for values in found["predictions"])
        lines = [f"{count:>7,} {name}" for name, count in counts.most_common()]
        if cut:
            lines.append(f"{cut:,} words are behind the longest text that the model sees: nothing is said of them.")
        table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)})
        return Sequences(asked.names, ["" for _ in asked.names], table, lines=lines, column=asked.column)


TARGET = TagsTarget()


def _rows(number: int, text: str, places: Sequence[tuple[int, int]], values: Any, task: Answers) -> list[Any]:
    """Rows of one text, by the probabilities of its words ``(W, K)``; one of empty cells where nothing is said."""
    labels, score = _labels(values), values.max(dim=1).values.tolist()
    tags = tags_of(labels, task.spec.class_names)
    spans = sorted(entities(tags, task.scheme), key=lambda e: e[1]) if task.scheme else _each(tags, labels)
    rows: list[Any] = []
    for kind, first, end in spans:
        begin, stop = places[first][0], places[end - 1][1]
        rows.append((number, text, begin, stop, text[begin:stop], kind, float(np.mean(score[first:end]))))
    return rows or [(number, text, None, None, None, None, None)]


def _labels(values: Any) -> list[int]:
    """The most probable tag of each word, of probabilities ``(W, K)``; -1 of a word without any."""
    return [int(row.argmax()) if row.any() else -1 for row in values]


def _each(tags: Sequence[str], labels: Sequence[int]) -> list[Entity]:
    return [(tag, i, i + 1) for i, (tag, label) in enumerate(zip(tags, labels, strict=True)) if label >= 0]

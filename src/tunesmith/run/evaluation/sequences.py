"""What a model said of samples of which it says any number of things, such as a tag for each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tunesmith.run.evaluation import answers
from tunesmith.run.evaluation.predictions import Sequences
from tunesmith.task.metric.entity import Entity, EntityScore, entities, tags_of

SHOWN = 5
"""Texts that people are shown of a prediction."""


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


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tokens(task: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """A row a text: how many of its tokens were to be given, and their loss and perplexity."""
    nll = found["nll"].double().numpy()
    columns = {"file": list(names), "tokens": found["tokens"].numpy(), "loss": nll, "perplexity": np.exp(nll)}
    said = [f"perplexity {value:.4g}" for value in columns["perplexity"]]
    return Sequences(list(names), said, "tokens", rows=pa.table(columns))


def _texts(task: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """A row a text: what was to be written, what was, and the loss of the former."""
    said, truth, loss = found["written"], found["truth"], found["nll"].double().numpy()
    rows = pa.table({"file": list(names), "target": truth, "written": said, "loss": loss})
    wrong = np.where([own == true for own, true in zip(said, truth, strict=True)], 0, loss)
    return Sequences(list(names), said, "text", (), truth, wrong, rows=rows)


def _new_texts(task: Any, data: Any, names: Sequence[str], found: Mapping[str, Any]) -> Sequences:
    """A row a text: what it was, and what was written."""
    said = list(found["predictions"])
    rows = pa.table({"text": list(names), "written": said})
    return Sequences(list(names), said, task.spec.target, rows=rows, summary=said[:SHOWN], column="text")


_TESTED: Mapping[str, Callable[..., Sequences]] = {
    "tags": _tags,
    "span": answers.tested,
    "text": _texts,
    "tokens": _tokens,
}
_PREDICTED: Mapping[str, Callable[..., Sequences]] = {
    "tags": _new_tags,
    "span": answers.predicted,
    "text": _new_texts,
    "tokens": _new_texts,
}

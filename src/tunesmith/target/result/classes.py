"""Summarise predicted classes and labels: scores, counts, W&B's charts."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunesmith.target.result.predictions import Charts, Column
from tunesmith.target.result.samples import SamplePredictions
from tunesmith.target.table.strata import Numbers

Bools = NDArray[np.bool_]


def columns(found: SamplePredictions) -> dict[str, object]:
    """Return ``label``, with commas between several labels, and ``p_<name>`` per name."""
    said = [found.kind.in_words(own, found.class_names) for own in found.labels]
    chances = zip(found.class_names, found.values.T, strict=True)
    return {"label": said} | {f"p_{name}": column for name, column in chances}


def scores(truth: Bools, said: Bools, names: tuple[str, ...], title: str) -> dict[str, Sequence[str] | Column]:
    """Return columns with a row per name: ``precision``, ``recall`` and ``f1``; 0 where they are undefined.

    Args:
        truth: True classes or labels of each sample ``(N, K)``.
        said: Predicted ones ``(N, K)``.
        names: Names of the classes or labels ``(K,)``.
        title: Heading of the names.
    """
    right, support = (truth & said).sum(axis=0), truth.sum(axis=0)
    return {
        title: names,
        "precision": right / np.maximum(said.sum(axis=0), 1),
        "recall": right / np.maximum(support, 1),
        "f1": 2 * right / np.maximum(said.sum(axis=0) + support, 1),
    }


def by_class(found: SamplePredictions) -> pd.DataFrame:
    """Return one row per class: ``precision``, ``recall``, ``f1`` and ``support``, its number of samples."""
    assert found.targets is not None
    each = np.arange(len(found.class_names))
    truth, said = found.targets[:, None] == each, found.labels[:, None] == each
    return pd.DataFrame(scores(truth, said, found.class_names, "class") | {"support": truth.sum(axis=0)})


def sureness(found: SamplePredictions, i: int) -> str:
    """Return the probability of the predicted class."""
    return f" ({found.values[i, found.labels[i]]:.0%})"


def wrongness(found: SamplePredictions, off: Numbers | Bools) -> NDArray[np.float64]:
    """Return each sample's distance from the truth plus the probability of its wrong class ``(N,)``; 0 if right."""
    sure = found.values[np.arange(len(found.files)), found.labels]
    return np.asarray(np.where(off > 0, off + sure, 0))


def summary(counts: Numbers, names: tuple[str, ...]) -> list[str]:
    """Format the counts ``(K,)`` of predicted classes or labels, most frequent first."""
    return [f"{counts[k]:>7,} {names[k]}" for k in np.argsort(-counts, kind="stable") if counts[k]]


def class_summary(found: SamplePredictions) -> list[str]:
    """Count the predictions of each class, most frequent first."""
    return summary(np.bincount(found.labels, minlength=len(found.class_names)), found.class_names)


def charts(found: SamplePredictions, plot: ModuleType) -> Charts:
    """Make W&B's confusion matrix, ROC and precision-recall curves."""
    assert found.targets is not None
    names = list(found.class_names)
    return {
        "confusion_matrix": plot.confusion_matrix(
            preds=found.labels.tolist(), y_true=found.targets.tolist(), class_names=names
        ),
        "roc": plot.roc_curve(found.targets, found.values, labels=names),
        "precision_recall": plot.pr_curve(found.targets, found.values, labels=names),
    }


def pooled(truth: Column, said: Column, names: list[str]) -> dict[str, float]:
    """Compute accuracy and macro F1 of class names ``(N,)`` over the predictions of all folds."""
    from sklearn.metrics import accuracy_score, f1_score  # takes seconds to import

    return {
        "accuracy": float(accuracy_score(truth, said)),
        "macro_f1": float(f1_score(truth, said, labels=names, average="macro", zero_division=0)),
    }

"""What is shown of predicted classes and labels: scores of each, counts, W&B's charts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunesmith.target.result.samples import SamplePredictions


def columns(found: SamplePredictions) -> dict[str, Any]:
    """``label``, what is said, with commas between several, and ``p_<name>`` for each of the names."""
    said = [found.kind.in_words(own, found.class_names) for own in found.labels]
    chances = zip(found.class_names, found.values.T, strict=True)
    return {"label": said} | {f"p_{name}": column for name, column in chances}


def scores(truth: NDArray[Any], said: NDArray[Any], names: tuple[str, ...], title: str) -> dict[str, Any]:
    """Columns of a table with a row per name: ``precision``, ``recall`` and ``f1``, 0 where nothing could be right.

    Args:
        truth: Whether each sample is of each class, or has each label ``(N, K)``.
        said: Whether it is said to be or have ``(N, K)``.
        names: Of the classes or labels ``(K,)``.
        title: What heads them.
    """
    right, support = (truth & said).sum(axis=0), truth.sum(axis=0)
    return {
        title: names,
        "precision": right / np.maximum(said.sum(axis=0), 1),
        "recall": right / np.maximum(support, 1),
        "f1": 2 * right / np.maximum(said.sum(axis=0) + support, 1),
    }


def by_class(found: SamplePredictions) -> pd.DataFrame:
    """One row per class: ``precision``, ``recall``, ``f1`` and ``support``, the samples that are of it."""
    assert found.targets is not None
    each = np.arange(len(found.class_names))
    truth, said = found.targets[:, None] == each, found.labels[:, None] == each
    return pd.DataFrame(scores(truth, said, found.class_names, "class") | {"support": truth.sum(axis=0)})


def sureness(found: SamplePredictions, i: int) -> str:
    """The probability of the class that a sample is said to be."""
    return f" ({found.values[i, found.labels[i]]:.0%})"


def wrongness(found: SamplePredictions, off: NDArray[Any]) -> NDArray[np.float64]:
    """How far each sample is off ``(N,)`` and, where it is, the probability of the class that was said."""
    sure = found.values[np.arange(len(found.files)), found.labels]
    return np.asarray(np.where(off > 0, off + sure, 0))


def summary(counts: NDArray[Any], names: tuple[str, ...]) -> list[str]:
    """How often each class or label was predicted ``(K,)``, the commonest first."""
    return [f"{counts[k]:>7,} {names[k]}" for k in np.argsort(-counts, kind="stable") if counts[k]]


def class_summary(found: SamplePredictions) -> list[str]:
    """How often each class was predicted, the commonest first."""
    return summary(np.bincount(found.labels, minlength=len(found.class_names)), found.class_names)


def charts(found: SamplePredictions, plot: Any) -> dict[str, Any]:
    """W&B's confusion matrix, ROC and precision-recall curves."""
    assert found.targets is not None
    names = list(found.class_names)
    return {
        "confusion_matrix": plot.confusion_matrix(
            preds=found.labels.tolist(), y_true=found.targets.tolist(), class_names=names
        ),
        "roc": plot.roc_curve(found.targets, found.values, labels=names),
        "precision_recall": plot.pr_curve(found.targets, found.values, labels=names),
    }


def pooled(truth: NDArray[Any], said: NDArray[Any], names: list[str]) -> dict[str, float]:
    """Metrics of classes, by name ``(N,)``, over the predictions of all folds."""
    from sklearn.metrics import accuracy_score, f1_score  # takes seconds to import

    return {
        "accuracy": float(accuracy_score(truth, said)),
        "macro_f1": float(f1_score(truth, said, labels=names, average="macro", zero_division=0)),
    }

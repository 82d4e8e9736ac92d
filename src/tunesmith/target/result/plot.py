"""Plot test results: confusion matrix, reliability diagram, scores per label, predicted against true values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_confusion_matrix

from tunesmith.target.result.samples import SamplePredictions

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#dd6b20", "#a0aec0"


def draw_confusion_matrix(predictions: SamplePredictions) -> Figure:
    """Plot counts by true class (rows) and predicted class (columns), shaded by their share of the row."""
    assert predictions.targets is not None
    names = predictions.class_names
    found = multiclass_confusion_matrix(torch.tensor(predictions.labels), torch.tensor(predictions.targets), len(names))
    return draw_counts(found.numpy(), names)


def draw_counts(counts: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Plot a confusion matrix ``(K, K)``, true by predicted class, shaded by the share of the row."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(12.0, 3.0 + 0.55 * len(names))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 20:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.55 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 3 else 0)
        axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=f"{np.trace(counts) / counts.sum():.1%} of {counts.sum()} right")
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure


def draw_reliability(predictions: SamplePredictions, bins: int = 15) -> Figure:
    """Plot accuracy against confidence (Guo et al., On Calibration, 2017).

    The bins are those of torchmetrics, so the calibration error in the title equals the metric.
    """
    assert predictions.targets is not None
    confidence = predictions.values.max(axis=1)
    right = predictions.values.argmax(axis=1) == predictions.targets
    lowest = 1 / len(predictions.class_names)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(confidence, edges) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0
    accuracy = np.bincount(place, right, minlength=bins)[filled] / counts[filled]
    said = np.bincount(place, confidence, minlength=bins)[filled] / counts[filled]
    error = float((np.abs(accuracy - said) * counts[filled]).sum() / counts.sum())
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    upper.plot([lowest, 1], [lowest, 1], "--", color=_GREY, label="perfect")
    upper.plot(said, accuracy, "o-", color=_ORANGE, label="model")
    upper.set(ylabel="right", ylim=(0, 1.02), title=f"calibration error {error:.3f}")
    upper.legend(frameon=False, loc="upper left")
    upper.grid(alpha=0.3)
    lower.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=_BLUE)
    lower.set(xlabel="confidence", ylabel="samples", xlim=(lowest, 1))
    return figure


def draw_values(predictions: SamplePredictions) -> Figure:
    """Plot predicted against true values, one panel per value."""
    assert predictions.targets is not None
    names, r2 = predictions.class_names, predictions.by_class()["r2"]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.4 * columns, 4.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for i, (axes, name) in enumerate(zip(panels, names, strict=False)):
        true, said = predictions.targets[:, i], predictions.values[:, i]
        ends = [min(true.min(), said.min()), max(true.max(), said.max())]
        axes.plot(ends, ends, "--", color=_GREY)
        axes.plot(true, said, "o", color=_BLUE, markersize=4, alpha=min(1.0, max(0.15, 60 / len(true))), mew=0)
        axes.set(xlabel="true", ylabel="predicted", title=f"{name}, R² {r2[i]:.3f}", aspect="equal")
        axes.grid(alpha=0.3)
    for axes in panels:
        axes.set_axis_off()
    return figure


def draw_labels(predictions: SamplePredictions, most: int = 40) -> Figure:
    """Plot F1 and average precision of at most ``most`` labels, most frequent first."""
    rows = predictions.by_class().sort_values("support", ascending=False, kind="stable")[:most]
    place = np.arange(len(rows))
    figure = Figure(figsize=(6.4, 1.4 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.barh(place - 0.2, rows["f1"], 0.38, color=_BLUE, label="F1")
    axes.barh(place + 0.2, rows["average_precision"].fillna(0), 0.38, color=_ORANGE, label="average precision")
    names = [f"{name} ({support})" for name, support in zip(rows["label"], rows["support"], strict=True)]
    axes.set_yticks(place, names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title="by label (samples with it)")
    axes.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure

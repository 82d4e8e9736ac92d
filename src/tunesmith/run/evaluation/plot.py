"""Images of a run, as PNG in its folder, without W&B and without a display."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torchmetrics.functional.classification import multiclass_confusion_matrix

from tunesmith.run.evaluation.predictions import Predictions, Sequences
from tunesmith.run.record import metrics_log

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#dd6b20", "#a0aec0"


def draw_all(folder: Path, predictions: Predictions | Sequences | None, monitor: str | None) -> list[Path]:
    """Draw training curves and, where there are predictions, what shows them.

    That is the confusion matrix of classes and, where they have no order, the reliability diagram; the scores of each
    label; or predicted against true values.

    Args:
        folder: Of the run; the images go into ``plots/`` in it.
        predictions: Of the test split, with targets.
        monitor: The metric drawn beside the loss.

    Returns:
        The paths of the images.
    """
    drawings: dict[str, Callable[[], Figure | None]] = {"training_curves": lambda: training_curves(folder, monitor)}
    if predictions is not None and predictions.targets is not None:
        own = _DRAWINGS.get(predictions.kind, {})
        drawings |= {name: functools.partial(draw, predictions) for name, draw in own.items()}
    places = folder / "plots"
    places.mkdir(exist_ok=True)
    paths = []
    for name, draw in drawings.items():
        figure = draw()
        if figure is not None:
            figure.savefig(places / f"{name}.png", dpi=120)
            paths.append(places / f"{name}.png")
    return paths


def training_curves(folder: Path, monitor: str | None = None) -> Figure | None:
    """Loss and the monitored metric by epoch, of training and validation; ``None`` before the first epoch's end."""
    metric = (monitor or "").rpartition("/")[2]
    panels = ["loss", *([metric] if metric not in ("", "loss") else [])]
    figure = Figure(figsize=(4.8 * len(panels), 3.6), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for stage, colour in (("train", _GREY), ("val", _BLUE)):
            epochs, values = metrics_log.series(folder, f"{stage}/{name}")
            if epochs:
                axes.plot(np.array(epochs) + 1, values, "o-", color=colour, markersize=3, label=stage)
        if not axes.lines:
            return None
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def draw_confusion_matrix(predictions: Predictions) -> Figure:
    """Counts by true class (rows) and predicted class (columns), shaded by the share of the row."""
    assert predictions.targets is not None
    names = predictions.class_names
    found = multiclass_confusion_matrix(torch.tensor(predictions.labels), torch.tensor(predictions.targets), len(names))
    counts = found.numpy()
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


def draw_reliability(predictions: Predictions, bins: int = 15) -> Figure:
    """How often the model is right when it says it is p sure (Guo et al., On Calibration, 2017).

    The bins are torchmetrics' own, so the calibration error in the title is the one in the table of metrics.
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


def draw_values(predictions: Predictions) -> Figure:
    """Predicted against true values, a panel a value."""
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
    for axes in panels:  # those that no value is left for
        axes.set_axis_off()
    return figure


def draw_labels(predictions: Predictions, most: int = 40) -> Figure:
    """F1 and average precision of each label, the commonest labels above; ``most`` of them at the most."""
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


_DRAWINGS: Mapping[str, Mapping[str, Callable[[Any], Figure]]] = {
    "class": {"confusion_matrix": draw_confusion_matrix, "reliability": draw_reliability},
    "ordinal": {"confusion_matrix": draw_confusion_matrix},
    "multilabel": {"labels": draw_labels},
    "value": {"values": draw_values},
}

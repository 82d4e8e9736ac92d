"""Plot a comparison: learning curves, cost, importance and confusion matrices, the best settings first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tunesmith.compare.group import Comparison, Group
from tunesmith.compare.out_of_fold import read_columns
from tunesmith.compare.parallel import draw_parallel
from tunesmith.compare.statistics import Floats
from tunesmith.errors import RunError
from tunesmith.run.record import metrics_log
from tunesmith.target.base import of

MOST_CURVES = 8
MOST_MATRICES = 4
MOST_CLASSES = 40
_COLOURS = matplotlib.color_sequences["tab10"]


def draw_all(found: Comparison) -> dict[str, Figure]:
    """Draw all plots by name; a plot without content is left out."""
    drawings: Mapping[str, Callable[[], Figure | None]] = {
        "learning_curves": partial(draw_curves, found),
        "cost": partial(draw_cost, found),
        "parallel_coordinates": partial(draw_parallel, found),
        "importance": partial(draw_importance, found),
        "confusion_matrices": partial(draw_matrices, found.groups[:MOST_MATRICES]),
    }
    figures = {name: draw() for name, draw in drawings.items()}
    return {name: figure for name, figure in figures.items() if figure is not None}


def draw_curves(found: Comparison) -> Figure | None:
    """Plot the validation metric per epoch: the mean of each setting's runs, with a band from minimum to maximum."""
    name = f"val/{found.metric.rpartition('/')[2]}"
    groups = [(g, curve) for g in found.groups[:MOST_CURVES] if (curve := _curve(g, name))]
    if not groups:
        return None
    figure = Figure(figsize=(7.2, 4.2 + 0.2 * len(groups)), layout="constrained")
    axes = figure.subplots()
    for (group, curve), colour in zip(groups, _COLOURS, strict=False):
        epochs = np.array(list(curve)) + 1
        low, mean, high = (np.array([reduce(v) for v in curve.values()]) for reduce in (np.min, np.mean, np.max))
        axes.plot(epochs, mean, "o-", markersize=3, color=colour, label=f"{group.label} (n={len(group.runs)})")
        axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    shown = "" if len(found.groups) <= MOST_CURVES else f", best {MOST_CURVES} of {len(found.groups)} settings"
    axes.set(xlabel="epoch", ylabel=name, title=f"mean, least and largest of the replicates{shown}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    return figure


def _curve(group: Group, name: str) -> dict[float, list[float]]:
    """Return the values of a metric per epoch, one per run that reached it."""
    curve: dict[float, list[float]] = {}
    for run in group.runs:
        for epoch, value in zip(*metrics_log.series(run.folder, name), strict=True):
            curve.setdefault(epoch, []).append(value)
    return dict(sorted(curve.items()))


def pareto(costs: Floats, gains: Floats) -> list[int]:
    """Return the indices of the Pareto front, by rising cost: no other point is at least as cheap and better."""
    front: list[int] = []
    for i in np.lexsort((-gains, costs)):
        if not front or gains[i] > gains[front[-1]]:
            front.append(int(i))
    return front


def draw_cost(found: Comparison) -> Figure:
    """Plot the metric against seconds: one point per setting with its standard deviation, and the Pareto front."""
    sign = 1 if found.mode == "max" else -1
    means, costs = np.array([(g.mean, g.seconds) for g in found.groups]).T
    spreads = np.nan_to_num([g.spread for g in found.groups])
    front = pareto(costs, sign * means)
    figure = Figure(figsize=(7.2, 4.6 + 0.2 * len(front)), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(costs, means, spreads, fmt="o", color="#999999", ecolor="#cccccc", markersize=5, zorder=1)
    axes.step(costs[front], means[front], where="post", color="#c44e52", linewidth=1, label="Pareto front")
    for number, i in enumerate(front):
        colour = _COLOURS[number % len(_COLOURS)]
        axes.plot(costs[i], means[i], "o", color=colour, markersize=8, label=found.groups[i].label)
    if costs.min() > 0 and costs.max() > 30 * costs.min():
        axes.set_xscale("log")
    axes.set(xlabel="seconds to assemble, train and test", ylabel=found.metric, title="cost, mean ± sd over replicates")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    return figure


def draw_importance(found: Comparison) -> Figure | None:
    """Plot the share of the variance that each key explains, as bars."""
    if not found.importance:
        return None
    names, shares = list(found.importance), list(found.importance.values())
    figure = Figure(figsize=(6.4, 1.3 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, shares, color="#4c72b0")
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=3)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.1), title=f"share of the variance of {found.metric}\nthat each key explains (epsilon²)")
    axes.grid(alpha=0.3, axis="x")
    return figure


def draw_matrices(groups: Sequence[Group]) -> Figure | None:
    """Draw confusion matrices side by side, over all replicates of each setting, shaded by share of the true class."""
    found = [(group, counts) for group in groups if (counts := confusion(group)) is not None]
    if not found:
        return None
    names = found[0][0].runs[0].data["class_names"]
    side = min(5.0, 1.8 + 0.3 * len(names))
    figure = Figure(figsize=(side * len(found) + 0.8, side + 0.9), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (group, counts) in zip(panels, found, strict=True):
        image = _draw_matrix(axes, counts, names)
        right = np.trace(counts) / counts.sum()
        label = group.label.replace(", ", "\n")
        axes.set_title(f"{label}\n{right:.1%} of {counts.sum()} right", fontsize=9)
    panels[0].set_ylabel("true")
    figure.colorbar(image, ax=list(panels), label="share of the true class", shrink=0.7)
    return figure


def _draw_matrix(axes: Axes, counts: Floats, names: Sequence[str]) -> matplotlib.image.AxesImage:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 12:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.55 else "black"
            if counts[row, column]:
                text = f"{counts[row, column]}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    axes.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) <= 2 else 90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted")
    return image


def confusion(group: Group) -> Floats | None:
    """Count true against predicted classes ``(K, K)`` over all runs; ``None`` if there is no matrix to draw.

    All runs must have the same, few classes; multi-label and numeric targets have no such matrix.
    """
    first = group.runs[0].data
    names = first.get("class_names", ())
    if "target" not in first or not of(first["target"]).exclusive or len(names) > MOST_CLASSES:
        return None
    place = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), int)
    for run in group.runs:
        try:
            table = read_columns(run.folder, ["target", "label"])
        except RunError:
            return None
        pairs = [[place.get(name, -1) for name in table[column].to_pylist()] for column in ("target", "label")]
        np.add.at(counts, tuple(np.array(pairs)), 1)
    return counts

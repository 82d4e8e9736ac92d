"""Draw parallel coordinates: one axis per key, one line per setting, coloured by the metric (Inselberg 1985)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from tunesmith.compare.group import Comparison
from tunesmith.compare.statistics import Floats, numbers

Ticks = list[tuple[float, str]]

APART = 0.04
"""Height of a tick's text, as a fraction of the axis."""


def draw_parallel(found: Comparison) -> Figure | None:
    """Draw the settings as lines over one axis per key, with the metric as the last axis and the best on top."""
    if not found.keys or len(found.groups) < 2:
        return None
    means = np.array([group.mean for group in found.groups])
    axes_of = [scale([group.settings[key] for group in found.groups]) for key in found.keys]
    low, high = float(means.min()), float(means.max())
    axes_of.append((_between(means), [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]))
    figure = Figure(figsize=(2.0 + 1.9 * len(axes_of), 4.4), layout="constrained")
    axes = figure.subplots()
    norm = Normalize(low, high)
    cmap = colormaps["viridis" if found.mode == "max" else "viridis_r"]
    for i in reversed(range(len(found.groups))):
        heights = [heights[i] for heights, _ in axes_of]
        axes.plot(heights, color=cmap(norm(means[i])), alpha=0.9, linewidth=3 if i == 0 else 1.4)
    for x, (_, ticks) in enumerate(axes_of):
        axes.axvline(x, color="black", linewidth=0.8)
        for height, text in ticks:
            box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1}
            axes.text(x + 0.03, height, text, fontsize=8, va="center", bbox=box)
    axes.set_xticks(range(len(axes_of)), [*found.keys, found.metric])
    axes.set(yticks=[], xlim=(-0.1, len(axes_of) - 0.6), ylim=(-0.06, 1.06))
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(norm, cmap), ax=axes, label=found.metric)
    axes.set_title("a line a setting, the best one thick", fontsize=10)
    return figure


def scale(labels: Sequence[str]) -> tuple[Floats, Ticks]:
    """Place the values of a key on an axis from 0 to 1.

    Numbers are placed by value, on a logarithmic scale if they are positive and span a factor of ten; words, and
    mixtures of both, are spaced evenly.

    Returns:
        Height of each label, and the ticks with their texts.
    """
    found = numbers(labels)
    if found is None:
        words = sorted(set(labels))
        heights = _between(np.array([float(words.index(label)) for label in labels]))
    else:
        log = found.min() > 0 and found.max() >= 10 * found.min()
        heights = _between(np.log(found) if log else found)
    ticks = sorted(dict(zip(heights.tolist(), labels, strict=True)).items())
    return heights, legible(ticks)


def legible(ticks: Ticks) -> Ticks:
    """Drop ticks that would overlap the one below, but keep the lowest and the highest."""
    kept = ticks[:1]
    for tick in ticks[1:-1]:
        if tick[0] - kept[-1][0] >= APART <= ticks[-1][0] - tick[0]:
            kept.append(tick)
    return kept + ticks[1:][-1:]


def _between(values: Floats) -> Floats:
    """Scale to 0 to 1; everything to 0.5 if all values are equal."""
    span = values.max() - values.min()
    return np.asarray((values - values.min()) / span if span > 0 else np.full(len(values), 0.5))

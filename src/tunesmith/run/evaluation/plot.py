"""Draw a run's plots as PNG files; needs neither W&B nor a display."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tunesmith.run.record import metrics_log
from tunesmith.target.result.predictions import Predictions

_BLUE, _GREY = "#2b6cb0", "#a0aec0"


def draw_all(folder: Path, predictions: Predictions | None, monitor: str | None) -> list[Path]:
    """Draw training curves and, given predictions with targets, the plots of their kind of target.

    Returns:
        The paths of the images.
    """
    drawings: dict[str, Callable[[], Figure | None]] = {"training_curves": lambda: training_curves(folder, monitor)}
    if predictions is not None and predictions.targets is not None:
        drawings |= predictions.drawings()
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
    """Draw loss and monitored metric per epoch, in training and validation; ``None`` before the first epoch ends."""
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

"""What a run came to: predictions of a split, their metrics, and those of always saying the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from tunesmith.run.assembly.assemble import Parts
from tunesmith.run.callback.callback import Collect
from tunesmith.run.record import metrics_log
from tunesmith.run.resume.checkpoint import load_weights
from tunesmith.target.base import of
from tunesmith.target.result.predictions import Predictions
from tunesmith.task.calibration import Calibration


@dataclass(frozen=True)
class Outcome:
    """A tested split.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        weights: Which weights were tested, by the name of their checkpoint.
        target: Name of the kind of target.
        predictions: Of every sample.
        metrics: Flat, under the split's name: ``test/accuracy``, ``test/loss``, …
        majority: The same metrics of always saying what is commonest in the training split: its commonest class, each
            label's majority, or the mean of each value.
        majority_class: The class's name, or in words what is said; ``None`` where nothing is commonest.
    """

    split: str
    weights: str
    target: str
    predictions: Predictions
    metrics: dict[str, float]
    majority: dict[str, float]
    majority_class: str | None


def test(parts: Parts, folder: Path, weights: str, calibrations: Mapping[str, Calibration]) -> Outcome | None:
    """Test the best or the last weights of a run that was just trained.

    Args:
        parts: The assembled run.
        folder: The run folder, with its checkpoints.
        weights: Which weights.
        calibrations: What was fitted on validation for which weights.

    Returns:
        ``None`` where the data have no test split.

    Raises:
        RunError: The checkpoint is missing, altered or does not fit.
    """
    if "test" not in parts.data.counts():
        return None
    if (folder / "checkpoints").is_dir():  # else nothing was to be saved, and the last weights are those in memory
        load_weights(parts.task, folder / "checkpoints" / f"{weights}.ckpt")
    parts.task.calibration = calibrations.get(weights, Calibration())
    return test_split(parts.data, parts.task, parts.trainer, parts.collect, weights, "test")


def test_split(data: Any, task: Any, trainer: Trainer, collect: Collect, weights: str, split: str) -> Outcome:
    """Test the task's present weights, with its present calibration.

    Args:
        data: The data module.
        task: The task; what is commonest in its own training split is the baseline.
        trainer: With ``collect`` among its callbacks.
        collect: Gives the predictions.
        weights: What these weights are called.
        split: Which split.
    """
    data.evaluate_on(split)
    (logged,) = trainer.test(task, datamodule=data, verbose=False)
    found = collect.collected()
    metrics = task.test_metrics.clone(prefix=f"{split}/").to("cpu")
    metrics.reset()
    names = np.asarray(data.table.names)[found["index"].numpy()].tolist()
    name = task.baseline(metrics, found)
    majority = {} if name is None else metrics.compute()
    predictions = of(task.spec.target).tested(task, names, found)
    values = {f"{split}/{key.rpartition('/')[2]}": value for key, value in logged.items()}
    return Outcome(
        split, weights, task.spec.target, predictions, values, {k: v.item() for k, v in majority.items()}, name
    )


def show_mistakes(data: Any, outcome: Outcome, most: int = 16) -> list[tuple[str, NDArray[np.uint8] | str]]:
    """The worst mistakes, worst first: a caption, and the image as the model saw it ``(H, W, C)``, or the text.

    Args:
        data: The data module, which still serves the tested split.
        outcome: With the targets.
        most: How many at the most.
    """
    found = outcome.predictions
    wrongness = found.wrongness()
    worst = [int(i) for i in np.argsort(-wrongness, kind="stable")[:most] if wrongness[i] > 0]
    dataset = data.test_dataloader().dataset
    return [(found.caption(i), dataset.shown(found.place(i))) for i in worst]


def best_and_last(parts: Parts, folder: Path) -> dict[str, float]:
    """Metrics at the end, and under ``best/`` those of the epoch with the best monitored value."""
    last = {k: float(v) for k, v in parts.trainer.callback_metrics.items() if not k.endswith("_step")}
    monitor, sign = parts.task.monitor, 1 if parts.task.mode == "max" else -1
    rows = [row for row in metrics_log.read(folder) if monitor is not None and row.get(monitor) is not None]
    if monitor is None or not rows:
        return last
    best = max(rows, key=lambda row: sign * row[monitor])
    return last | {f"best/{k}": v for k, v in best.items() if "/" in k} | {"best/epoch": best["epoch"]}

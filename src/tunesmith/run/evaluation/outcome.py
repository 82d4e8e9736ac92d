"""Test a split: predictions, their metrics, and those of a constant baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch import Tensor

from tunesmith.data.dataset import SplitDataset
from tunesmith.data.loader import Loader
from tunesmith.data.module import TableData
from tunesmith.run.assembly.assemble import Parts
from tunesmith.run.callback.callback import Collect
from tunesmith.run.record import metrics_log
from tunesmith.run.resume.checkpoint import load_weights
from tunesmith.target.base import of
from tunesmith.target.result.predictions import Predictions
from tunesmith.task.base import Task
from tunesmith.task.calibration import Calibration


@dataclass(frozen=True)
class Outcome:
    """A tested split.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        weights: Name of the tested checkpoint.
        target: Name of the kind of target.
        predictions: Predictions of every sample.
        metrics: Metrics by full name: ``test/accuracy``, ``test/loss``, …
        majority: The same metrics for the training split's constant baseline: its most frequent class, each label's
            majority, or the mean of each value.
        majority_class: The baseline in words, such as the class name; ``None`` if there is none.
    """

    split: str
    weights: str
    target: str
    predictions: Predictions
    metrics: dict[str, float]
    majority: dict[str, float]
    majority_class: str | None


def test(parts: Parts, folder: Path, weights: str, calibrations: Mapping[str, Calibration]) -> Outcome | None:
    """Test weights of a run that was just trained.

    Returns:
        ``None`` if there is no test split.

    Raises:
        RunError: The checkpoint is missing, was altered or does not fit.
    """
    if "test" not in parts.data.counts():
        return None
    if (folder / "checkpoints").is_dir():  # else no checkpoints are saved, and the last weights are in memory
        load_weights(parts.task, folder / "checkpoints" / f"{weights}.ckpt")
    parts.task.calibration = calibrations.get(weights, Calibration())
    return test_split(parts.data, parts.task, parts.trainer, parts.collect, weights, "test")


def test_split(data: TableData, task: Task, trainer: Trainer, collect: Collect, weights: str, split: str) -> Outcome:
    """Test the task with its current weights and calibration.

    The baseline comes from the task's training split; ``collect`` must be among the trainer's callbacks.
    """
    data.evaluate_on(split)
    (logged,) = trainer.test(task, datamodule=data, verbose=False)
    found = collect.collected()
    index = found["index"]
    assert isinstance(index, Tensor)
    metrics = task.test_metrics.clone(prefix=f"{split}/").to("cpu")
    metrics.reset()
    names = np.asarray(data.table.names)[index.numpy()].tolist()
    name = task.baseline(metrics, found)
    majority = {} if name is None else metrics.compute()
    predictions = of(task.spec.target).tested(task, names, found)
    values = {f"{split}/{key.rpartition('/')[2]}": value for key, value in logged.items()}
    return Outcome(
        split, weights, task.spec.target, predictions, values, {k: v.item() for k, v in majority.items()}, name
    )


def show_mistakes(data: TableData, outcome: Outcome, most: int = 16) -> list[tuple[str, NDArray[np.uint8] | str]]:
    """Return the worst mistakes, worst first: caption, and the image as the model saw it ``(H, W, C)`` or the text."""
    found = outcome.predictions
    wrongness = found.wrongness()
    worst = [int(i) for i in np.argsort(-wrongness, kind="stable")[:most] if wrongness[i] > 0]
    loader = cast(Loader, data.test_dataloader())  # not empty: the split was tested
    dataset = cast(SplitDataset, loader.dataset)
    return [(found.caption(i), dataset.shown(found.place(i))) for i in worst]


def best_and_last(parts: Parts, folder: Path) -> dict[str, float]:
    """Return the final metrics and, under ``best/``, those of the epoch with the best monitored value."""
    last = {k: float(v) for k, v in parts.trainer.callback_metrics.items() if not k.endswith("_step")}
    monitor, sign = parts.task.monitor, 1 if parts.task.mode == "max" else -1
    rows = [row for row in metrics_log.read(folder) if monitor is not None and row.get(monitor) is not None]
    if monitor is None or not rows:
        return last
    best = max(rows, key=lambda row: sign * row[monitor])
    return last | {f"best/{k}": v for k, v in best.items() if "/" in k} | {"best/epoch": best["epoch"]}

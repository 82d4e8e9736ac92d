"""Fit a task's calibration (temperature, threshold) on validation, for every checkpoint that may be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.compat.lightning import unlogged
from tunesmith.errors import RunError
from tunesmith.run.assembly.assemble import Parts
from tunesmith.run.resume.checkpoint import load_weights
from tunesmith.task.calibration import Calibration


def fit_calibrations(parts: Parts, folder: Path, tested: str | None = None) -> dict[str, Calibration]:
    """Fit a calibration for the best, the last and the tested weights of a run that was just trained.

    Each has its own, since each can be evaluated and predicted with later.

    Args:
        parts: The assembled run.
        folder: The run folder, with its checkpoints.
        tested: What the weights that are to be tested are called.

    Returns:
        By ``best``, ``last`` and ``tested``; all the same where nothing was to be saved; empty where the task asks for
        none.

    Raises:
        RunError: A checkpoint is altered or does not fit.
    """
    if not parts.task.calibrates:
        return {}
    parts.data.evaluate_on("val")
    calibrations: dict[str, Calibration] = {}
    with unlogged(parts.trainer):  # what is logged here would look like a test
        for weights in dict.fromkeys(("best", "last", tested or "best")):
            path = folder / "checkpoints" / f"{weights}.ckpt"
            if path.is_file():
                load_weights(parts.task, path)
            parts.task.calibration = Calibration()
            parts.trainer.test(parts.task, datamodule=parts.data, verbose=False)
            found = parts.collect.collected()
            calibrations[weights] = parts.task.calibrate(found["outputs"], found["target"])
    parts.data.evaluate_on("test")
    return calibrations


def recorded(record: Mapping[str, Any], weights: str, decides: bool) -> Calibration:
    """The calibration that a run recorded for its weights.

    Args:
        record: Its run.json.
        weights: ``best`` or ``last``.
        decides: Whether its task fits one.

    Raises:
        RunError: It was to fit one but did not get that far.
    """
    if not decides:
        return Calibration()
    if weights not in record.get("calibration", {}):
        raise RunError(
            "Expected a run that has fitted task.temperature and task.threshold but it ended before; go on with it by "
            "'tunesmith train resume=…'."
        )
    found = record["calibration"][weights]
    threshold = found["threshold"]
    return Calibration(found["temperature"], None if threshold is None else tuple(threshold))

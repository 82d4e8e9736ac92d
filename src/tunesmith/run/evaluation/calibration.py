"""Fit a task's calibration (temperature, threshold) on validation, for each checkpoint."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tunesmith.compat.lightning import unlogged
from tunesmith.contract.restore import restore
from tunesmith.errors import RunError
from tunesmith.run.assembly.assemble import Parts
from tunesmith.run.record.schema import Record
from tunesmith.run.resume.checkpoint import load_weights
from tunesmith.task.calibration import Calibration


def fit_calibrations(parts: Parts, folder: Path, tested: str | None = None) -> dict[str, Calibration]:
    """Fit calibrations for the best, the last and the tested weights of a run that was just trained.

    Returns:
        Calibrations by name of the weights, all of the present weights if no checkpoints were saved; empty if the task
        fits none.

    Raises:
        RunError: A checkpoint was altered or does not fit.
    """
    if not parts.task.calibrates:
        return {}
    parts.data.evaluate_on("val")
    calibrations: dict[str, Calibration] = {}
    with unlogged(parts.trainer):  # a logged result would look like a test
        for weights in dict.fromkeys(("best", "last", tested or "best")):
            path = folder / "checkpoints" / f"{weights}.ckpt"
            if path.is_file():
                load_weights(parts.task, path)
            parts.task.calibration = Calibration()
            parts.trainer.test(parts.task, datamodule=parts.data, verbose=False)
            found = parts.collect.collected()
            outputs, target = found["outputs"], found["target"]
            assert isinstance(outputs, Tensor) and isinstance(target, Tensor)
            calibrations[weights] = parts.task.calibrate(outputs, target)
    parts.data.evaluate_on("test")
    return calibrations


def recorded(record: Record, weights: str, decides: bool) -> Calibration:
    """Return the calibration that a run recorded for its weights.

    Raises:
        RunError: The task fits one but the run ended before.
    """
    if not decides:
        return Calibration()
    if weights not in record.get("calibration", {}):
        raise RunError(
            "Expected a run that has fitted task.temperature and task.threshold but it ended before; resume it with "
            "'tunesmith train resume=…'."
        )
    return restore(Calibration, record["calibration"][weights])

"""Write metrics.jsonl: everything logged, one JSON object per line, on disk before training continues."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from tunesmith.errors import RunError
from tunesmith.run.record import disk_space


class MetricsLog(Logger):
    """Appends each set of metrics to ``metrics.jsonl``, flushed and synced: the source of truth of a run.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder / "metrics.jsonl"

    @property
    def name(self) -> str:
        """The name among loggers."""
        return "metrics"

    @property
    def version(self) -> str:
        """Empty: the run folder identifies the run."""
        return ""

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return self._path.stat().st_size if self._path.is_file() else 0

    def cut(self, size: int) -> None:
        """Truncate the log to its size at a checkpoint; a resumed run logs the rest again.

        Args:
            size: Number of bytes to keep.

        Raises:
            RunError: The file is shorter.
        """
        if size > self.size:
            raise RunError(f"Expected {self._path} to hold at least {size} bytes but got {self.size}: it was altered.")
        if self._path.is_file():
            with self._path.open("r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one line with ``step`` and the metrics.

        Raises:
            RunError: The disk is full or read-only.
        """
        with disk_space.told(self._path, self._path.parent), self._path.open("a", encoding="utf-8") as file:
            values = {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}  # JSON has no NaN
            file.write(json.dumps({"step": step, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None:
        """Do nothing: config.yaml has the hyperparameters."""

"""Write metrics.jsonl: everything logged, one JSON object a line, on disk before training goes on."""

from __future__ import annotations

import json
import math
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from tunesmith.errors import RunError
from tunesmith.run.record import disk_space


class MetricsLog(Logger):
    """Appends each set of metrics to ``metrics.jsonl``, flushed and synced: the source of truth for a run.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder / "metrics.jsonl"

    @property
    def name(self) -> str:
        """Name among loggers."""
        return "metrics"

    @property
    def version(self) -> str:
        """Lightning asks for one; the run folder says it already."""
        return ""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._path.stat().st_size if self._path.is_file() else 0

    def cut(self, size: int) -> None:
        """Drop what was logged after a checkpoint: a run that goes on from there logs it again.

        Args:
            size: Bytes to keep.

        Raises:
            RunError: The file is shorter: what the checkpoint had seen is gone.
        """
        if size > self.size:
            raise RunError(f"Expected {self._path} to hold at least {size} bytes but got {self.size}: it was altered.")
        if self._path.is_file():
            with self._path.open("r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one line: ``step``, then the metrics.

        Raises:
            RunError: The disk is full or read-only.
        """
        with disk_space.told(self._path, self._path.parent), self._path.open("a", encoding="utf-8") as file:
            values = {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}  # JSON has no NaN
            file.write(json.dumps({"step": step, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: config.yaml has them."""

"""Runs that a benchmark makes a table of, each a `tunesmith train` of its own: what is measured is what a user gets.

Runs that are finished in the folder of the logs are read, not repeated, so a benchmark can be stopped and typed again.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUIET = ("logger=none", "callback.progress=null")


def finished(folder: Path) -> dict[str, Any] | None:
    """The record of the run below a folder that came to its end."""
    records = (json.loads(path.read_text()) for path in folder.rglob("run.json"))
    return next((record for record in records if record["status"] == "completed"), None)


def run(folder: Path, *words: str) -> dict[str, Any]:
    """Train below a folder, or read the run that did."""
    record = finished(folder)
    if record is None:
        line = [sys.executable, "-m", "tunesmith", "train", *QUIET, *words, f"paths.logs={folder}"]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        record = finished(folder)
    assert record is not None
    return record


def spread(values: Sequence[float], form: str) -> str:
    """Mean and, of several values, standard deviation."""
    deviation = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{deviation}"


def scores(records: Sequence[dict[str, Any]], *names: str) -> list[str]:
    """Metrics of the test split in percent, over runs."""
    return [f"{spread([100 * r['metrics'][f'test/{name}'] for r in records], '.1f')} %" for name in names]


def share(records: Sequence[dict[str, Any]]) -> float:
    """Percent of the parameters that train in the phase in which most do."""
    phases = [max(r["policy"]["phases"], key=lambda phase: phase["trainable"]) for r in records]
    return statistics.mean(100 * p["trainable"] / (p["trainable"] + p["frozen"]) for p in phases)

"""Read metrics.jsonl; without Lightning, so that runs can be compared at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


def read(folder: Path) -> Iterator[dict[str, float]]:
    """Read a run's metrics, a dict a line, in the order they were logged.

    A last line that a kill cut short is passed over.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def series(folder: Path, name: str) -> tuple[list[float], list[float]]:
    """Epochs and values of one metric, such as ``val/accuracy``."""
    points = [(row["epoch"], row[name]) for row in read(folder) if row.get(name) is not None and "epoch" in row]
    return [epoch for epoch, _ in points], [value for _, value in points]

"""Read metrics.jsonl; without Lightning, for commands that answer at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


def read(folder: Path) -> Iterator[dict[str, float]]:
    """Read a run's metrics, one dict per line, in the order they were logged.

    Lines that are not JSON, such as one truncated by a kill, are skipped.
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
    """Return epochs and values of one metric, such as ``val/accuracy``."""
    points = [(row["epoch"], row[name]) for row in read(folder) if row.get(name) is not None and "epoch" in row]
    return [epoch for epoch, _ in points], [value for _, value in points]

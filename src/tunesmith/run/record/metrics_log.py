"""Read metrics.jsonl; without Lightning, for commands that answer at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tunesmith import recorded

MOST = 1 << 30
"""Bytes of metrics.jsonl."""


def read(folder: Path) -> Iterator[dict[str, float]]:
    """Read a run's metrics, one dict per line, in the order they were logged.

    Lines that are not of numbers by name, such as one truncated by a kill, are skipped.

    Raises:
        RunError: It is not a regular file, or too large.
    """
    path = folder / "metrics.jsonl"
    if not path.exists():
        return
    for line in recorded.read_bytes(path, MOST).splitlines():
        with contextlib.suppress(ValueError):
            found = recorded.line(line, dict[str, float | None])
            yield {name: value for name, value in found.items() if value is not None}


def series(folder: Path, name: str) -> tuple[list[float], list[float]]:
    """Return epochs and values of one metric, such as ``val/accuracy``."""
    points = [(row["epoch"], row[name]) for row in read(folder) if name in row and "epoch" in row]
    return [epoch for epoch, _ in points], [value for _, value in points]

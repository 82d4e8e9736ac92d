"""Read metrics.jsonl; without Lightning, for commands that answer at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tunesmith.config import recorded

MOST = 1 << 30
"""Bytes of metrics.jsonl."""


def read(folder: Path) -> Iterator[dict[str, float | None]]:
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
            yield recorded.line(line, dict[str, float | None])


def series(folder: Path, name: str) -> tuple[list[float], list[float]]:
    """Return epochs and values of one metric, such as ``val/accuracy``."""
    found = ((row.get("epoch"), row.get(name)) for row in read(folder))
    points = [(epoch, value) for epoch, value in found if epoch is not None and value is not None]
    return [epoch for epoch, _ in points], [value for _, value in points]

"""Show a progress bar, but only for what takes long."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tunesmith.compat.lightning import rank

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds to wait before showing anything."""


def track(items: Iterable[T], description: str, total: int, console: Console | None = None) -> Iterator[T]:
    """Yield the items; after a second, show a progress bar on terminals.

    Args:
        items: The items.
        description: Text of the bar, such as ``Decoding train images``.
        total: Number of items.
        console: Where to draw; standard error by default.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal or rank() != 0:
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    start, bar = time.monotonic(), Progress(*columns, console=console, transient=True)
    task = bar.add_task(description, total=total)
    try:
        for item in items:
            yield item
            if not bar.live.is_started and time.monotonic() - start > PATIENCE:
                bar.start()
            bar.advance(task)
    finally:
        bar.stop()

"""A progress bar for what may take long, and only then."""

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
    """Pass the items on; from the second second on, show a progress bar where somebody is looking.

    Args:
        items: What to pass on.
        description: What is going on, such as ``Decoding train images``.
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

"""Show a sweep's progress, as a live table on a terminal and as plain lines elsewhere, and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tunesmith.config.redact import redact_override
from tunesmith.sweep.protocol import Job, Result

STYLES: Mapping[str, str] = {"completed": "green", "failed": "bold red", "pruned": "yellow", "running": "cyan"}
PERIOD = 0.25
"""Seconds between two refreshes of the live table."""


class Row(NamedTuple):
    """A running job.

    Attributes:
        job: The job.
        slot: Where it runs.
        seconds: How long it has run.
        history: Epoch and monitored value so far.
    """

    job: Job
    slot: str
    seconds: float
    history: Sequence[tuple[int, float]]


@dataclass
class _Ended:
    job: Job
    result: Result


class Screen:
    """Shows a sweep.

    Args:
        total: Number of jobs, if known.
        console: Where to print; a terminal gets the live table.
    """

    def __init__(self, total: int | None, console: Console | None = None) -> None:
        self.console = console or Console()
        self.total = total
        self.done: dict[int, _Ended] = {}
        self._live: Live | None = None
        self._shown = 0.0
        self._seen: set[int] = set()

    def show(self, rows: Sequence[Row], waiting: int) -> None:
        """Show the current state."""
        if not self.console.is_terminal:
            for row in rows:
                if row.job.number not in self._seen:
                    self._seen.add(row.job.number)
                    self.say(f"job {row.job.number} begins in slot {row.slot}: {changes(row.job)}")
            return
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        if time.monotonic() - self._shown >= PERIOD:
            self._shown = time.monotonic()
            self._live.update(self._image(rows, waiting), refresh=True)

    def ended(self, job: Job, result: Result, new: bool = True) -> None:
        """Record that a job has ended; print a failure at once."""
        self.done[job.number] = _Ended(job, result)
        if result.status == "failed" and new:
            self.say(f"job {job.number} failed: {result.reason} ({changes(job)})", "red")
        elif new and not self.console.is_terminal:
            self.say(f"job {job.number} {result.status} in {result.seconds:.0f} s: {value(result)}")

    def say(self, text: str, style: str = "") -> None:
        """Print a line, above the live table if there is one."""
        self.console.print(Text(text, style), highlight=False, soft_wrap=True)

    def interrupted(self, hard: bool, running: int) -> None:
        """Announce that the sweep is being stopped."""
        if hard:
            self.say(f"killing {running} jobs")
        elif running:
            self.say(f"stopping {running} jobs, which can be gone on with; once more to kill them")

    def close(self) -> None:
        """End the live table."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def summary(self, unfinished: Sequence[tuple[Job, str]] = ()) -> None:
        """Print the result of each job, and the reason of each failure.

        Args:
            unfinished: Jobs that have not ended, and their state.
        """
        self.console.print(self.table(unfinished), highlight=False)
        for number in sorted(self.done):
            result = self.done[number].result
            if result.status == "failed":
                self.say(f"job {number}: {result.reason}", "red")

    def table(self, unfinished: Sequence[tuple[Job, str]] = ()) -> Table:
        """Return a table of all jobs that ended, by number, followed by those that have not."""
        table = _table(["job", "changes", "state", self._metric(), "seconds"])
        for number in sorted(self.done):
            job, result = self.done[number].job, self.done[number].result
            table.add_row(*_cells(job, result.status), value(result), f"{result.seconds:.1f}")
        for job, state in unfinished:
            table.add_row(*_cells(job, state), "", "")
        return table

    def _image(self, rows: Sequence[Row], waiting: int) -> Group:
        room = max(3, self.console.size.height - len(rows) - 8)
        table = _table(["job", "changes", "state", self._metric(), "seconds", "slot"])
        for ended in list(self.done.values())[-room:]:
            result = ended.result
            table.add_row(*_cells(ended.job, result.status), value(result), f"{result.seconds:.0f}", "")
        for row in rows:
            shown = f"now {row.history[-1][1]:.4g}" if row.history else ""
            table.add_row(*_cells(row.job, "running"), shown, f"{row.seconds:.0f}", row.slot)
        return Group(table, Text(self.counts(len(rows), waiting), "dim"))

    def counts(self, running: int = 0, waiting: int = 0) -> str:
        """Return the number of jobs per state, in one line."""
        states = [ended.result.status for ended in self.done.values()]
        parts = [f"{states.count(s)} {s}" for s in ("completed", "pruned", "failed") if s in states]
        parts += [f"{running} running"] if running else []
        parts += [f"{waiting} in another launcher or to be taken up"] if waiting else []
        of = f" of {self.total}" if self.total is not None else ""
        return f"{len(states)}{of} jobs: {', '.join(parts) or 'none yet'}"

    def _metric(self) -> str:
        names = {e.result.monitor for e in self.done.values() if e.result.monitor}
        return f"best {names.pop()}" if len(names) == 1 else "best monitored"


def changes(job: Job) -> str:
    """Return the overrides that make a job differ, shortened and without secrets."""
    return " ".join(redact_override(change).lstrip("+") for change in job.changes) or "(no changes)"


def value(result: Result) -> str:
    """Format the objective of a job."""
    return "" if result.objective is None else f"{result.objective:.4g}"


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        right = name in ("job", "seconds") or name.startswith("best")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _cells(job: Job, state: str) -> tuple[str, str, Text]:
    return str(job.number), changes(job), Text(state, STYLES.get(state, ""))

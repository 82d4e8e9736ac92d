"""Plan what to cache and estimate whether it pays: the cut of each phase, and time and space from a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.contract.parameters import ParameterTable

AT_ONCE = 1.0
"""Seconds of data preparation below which neither a message nor a file is worthwhile."""

READ = 1e9
"""Bytes per second read from memory maps if the whole entry stays in memory; a conservative estimate."""

READ_DISK = 1e8
"""The same if it does not fit into memory: rows of about 100 KB in random order from a disk."""

WORTH = 2.0
"""How many times faster than computing, at least, reading must be."""


@dataclass(frozen=True)
class Span:
    """The epochs of a phase, and its cut.

    Attributes:
        first: First epoch.
        end: Epoch after the last; at most ``first`` if the run ends before the phase.
        stages: Number of stages before the cut; 0 if nothing can be cached.
    """

    first: int
    end: int
    stages: int

    @property
    def epochs(self) -> int:
        """Planned number of epochs."""
        return max(0, self.end - self.first)


def spans(table: ParameterTable, epochs: int) -> list[Span]:
    """Return the cut of each phase that may occur, with its planned epochs.

    Cached outputs are those of the weights that the run began with. So a stage counts only until it first trains, even
    if a later phase freezes it again: its weights have changed by then.

    Args:
        table: What trains when.
        epochs: Number of epochs of the run.
    """
    found, deepest, early = [], len(table.phases) and table.boundary(0), False
    ends = [phase.first_epoch for phase in table.phases[1:]] + [epochs]
    for phase, end in zip(table.phases, ends, strict=True):
        deepest = min(deepest, table.boundary(phase.first_epoch))
        if phase.first_epoch < epochs or early:
            found.append(Span(phase.first_epoch, min(end, epochs), deepest))
        early = early or phase.plateau is not None  # later phases may begin early
    return found


def served(found: Sequence[Span], stages: int, train: int, val: int, test: int) -> int:
    """Count the samples served from one cut.

    Args:
        found: Result of `spans`.
        stages: Number of stages before the cut.
        train: Training samples per epoch served from it.
        val: Validation samples per epoch.
        test: Test samples.
    """
    epochs = sum(span.epochs for span in found if span.stages == stages)
    return epochs * (train + val) + (test if found[-1].stages == stages else 0)


@dataclass(frozen=True)
class Estimate:
    """Cost and saving of an entry.

    Attributes:
        images: Number of samples to compute now.
        spared: Number of computations that the entry saves this run.
        row_bytes: Bytes per row.
        rows: Number of rows of the entry.
        seconds: Seconds to compute one row.
        asked: Whether the user requested it; then it need not pay off within this run.
    """

    images: int
    spared: int
    row_bytes: int
    rows: int
    seconds: float
    asked: bool = False

    @property
    def size(self) -> int:
        """Size of the entry in bytes."""
        return self.rows * self.row_bytes

    def objection(self, room: int, memory: int) -> str | None:
        """Return the reason why the entry does not pay off or fit; ``None`` if it does both.

        Args:
            room: Bytes that may be used on the disk.
            memory: Bytes of free memory.
        """
        read = self.row_bytes / (READ if self.size < memory else READ_DISK)
        if self.spared < self.images and not self.asked:
            return f"this run needs {self.spared:,} computations, and caching takes {self.images:,}"
        if read * WORTH > self.seconds:
            return f"reading one takes {read * 1e3:.2g} ms, and computing it {self.seconds * 1e3:.2g} ms"
        if self.images * self.row_bytes > room:
            return f"{in_bytes(self.size)} do not fit into {in_bytes(max(room, 0))} (cache.max_gb, or the disk)"
        return None


def in_bytes(size: int) -> str:
    """Format a number of bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


def in_time(seconds: float) -> str:
    """Format a duration."""
    for unit, factor in (("h", 3600), ("min", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"

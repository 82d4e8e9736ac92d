"""What to keep, and whether it pays: the cut of each phase, and time and space from a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.contract.parameters import ParameterTable

AT_ONCE = 1.0
"""Seconds of reading data that are not worth a word, nor a file."""

READ = 1e9
"""Bytes per second that are read from memory maps where all of an entry stays in memory; on the safe side."""

READ_DISK = 1e8
"""The same where it does not: rows of some 100 KB in random order from a disk."""

WORTH = 2.0
"""How many times as fast reading must be as computing."""


@dataclass(frozen=True)
class Span:
    """The epochs of a phase and its cut.

    Attributes:
        first: The first of them.
        end: The first that is none of them; no more than ``first`` where the run is over by then.
        stages: Number of stages in front of the cut; 0 where nothing can be kept.
    """

    first: int
    end: int
    stages: int

    @property
    def epochs(self) -> int:
        """How many epochs are planned for it."""
        return max(0, self.end - self.first)


def spans(table: ParameterTable, epochs: int) -> list[Span]:
    """The cut of each phase that may come, with its epochs as they are planned.

    What is kept are the outputs of the weights that the run began with. So a stage counts until it first trains, also
    where a later phase freezes it again: it is another one by then.

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
        early = early or phase.plateau is not None  # what follows may begin ahead of its time
    return found


def served(found: Sequence[Span], stages: int, train: int, val: int, test: int) -> int:
    """Images that are served from one cut.

    Args:
        found: As `spans` gives them.
        stages: Number of stages in front of the cut.
        train: Training images of an epoch, where they are served from it.
        val: Validation images of an epoch.
        test: Test images.
    """
    epochs = sum(span.epochs for span in found if span.stages == stages)
    return epochs * (train + val) + (test if found[-1].stages == stages else 0)


@dataclass(frozen=True)
class Estimate:
    """What keeping would cost and save.

    Attributes:
        images: Images to compute now.
        spared: Images that the run would compute without.
        row_bytes: Bytes that one of them takes.
        rows: Rows that are read from.
        seconds: Seconds that computing one takes.
        asked: Whether the user asked for it: then it need not pay in this run.
    """

    images: int
    spared: int
    row_bytes: int
    rows: int
    seconds: float
    asked: bool = False

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self.rows * self.row_bytes

    def objection(self, room: int, memory: int) -> str | None:
        """Why it does not pay or fit, in words; ``None`` where it does both.

        Args:
            room: Bytes that may be taken on the disk.
            memory: Bytes that are free in memory.
        """
        read = self.row_bytes / (READ if self.size < memory else READ_DISK)
        if self.spared < self.images and not self.asked:
            return f"this run needs {self.spared:,} of them, and keeping them takes {self.images:,}"
        if read * WORTH > self.seconds:
            return f"reading one takes {read * 1e3:.2g} ms, and computing it {self.seconds * 1e3:.2g} ms"
        if self.images * self.row_bytes > room:
            return f"it takes {in_bytes(self.size)}, and there is room for {in_bytes(max(room, 0))} (cache.max_gb)"
        return None


def in_bytes(size: int) -> str:
    """A number of bytes for people."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


def in_time(seconds: float) -> str:
    """Seconds for people."""
    for unit, factor in (("h", 3600), ("min", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"

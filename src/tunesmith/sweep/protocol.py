"""What the parts of a sweep say to each other: a searcher asks for jobs, an executor runs them, the journal remembers.

A **job** is a number and the overrides that make it differ. Its number is its identity within the sweep: whoever asks
for it again, after a kill or in a second launcher, means the same job, and it is run once. A job is run as the command
line ``tunesmith train <all overrides> hydra.mode=RUN`` in an operating-system process of its own, with a run folder
that is known beforehand, and the same command in the same run folder goes on where it was: so a job can be killed,
retried or sent to another machine at any time.

The launcher (`launcher.py`) holds them together::

    for each job that the journal knows:  searcher.tell(job, result)      # None: under way, the launcher takes it up
    repeat:
        for each free slot:               searcher.ask(free) -> jobs      # [] while waiting for results, or at the end
        for each job under way:           searcher.prune(job, history)    # True stops it
        for each job that ended:          searcher.tell(job, result)      # also of those that another launcher ran
    until nothing is under way and ask gives nothing

Searchers are built from ``sweep.searcher`` with what `config.known.SUPPLIED` names: ``space`` and ``folder``. They
run in the launcher's process and thread, and import no torch. Executors are built from ``sweep.executor``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hydra.core.override_parser.types import Override

Status = Literal["completed", "failed", "pruned"]


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        number: Its identity within the sweep, from 0.
        changes: Overrides that make it differ from the other jobs, such as ``("optimizer.lr=0.01", "seed=2")``, one
            value each and written for Hydra.
    """

    number: int
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How a job ended.

    Attributes:
        status: ``completed``; ``failed``, after all retries; ``pruned``, when the searcher stopped it.
        folder: Its run folder, which may be missing where the job never came to have one.
        objective: The best monitored value, over all epochs; ``None`` where there is none. It may be NaN.
        monitor: The metric that it is a value of, such as ``val/accuracy``.
        mode: Whether the largest (``max``) or the least (``min``) is best.
        metrics: All metrics of run.json, flat: ``test/accuracy``, ``best/val/loss``, …
        seconds: From start to end, all attempts together, without those whose launcher was killed.
        reason: Why it failed, in a line; empty where it did not.
    """

    status: Status
    folder: Path
    objective: float | None = None
    monitor: str | None = None
    mode: Literal["max", "min"] = "max"
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        swept: Hydra's parsed overrides that hold a sweep: ``choice``, ``range``, ``glob`` or ``interval``, sorted by
            key; ``sweep_string_iterator`` counts up the values of those that can be.
        fixed: All other overrides, as every job gets them.
    """

    swept: tuple[Override, ...]
    fixed: tuple[str, ...]


class Searcher(ABC):
    """Decides which jobs a sweep runs.

    Attributes:
        total: How many jobs there will be, where that is known.
        listed: All jobs, where they are known before the first one starts: the manifest keeps them.
    """

    total: int | None = None
    listed: Sequence[Job] | None = None

    @abstractmethod
    def ask(self, free: int) -> Sequence[Job]:
        """Give the next jobs.

        Args:
            free: How many can start now, at least 1.

        Returns:
            Jobs with numbers that were neither given nor told before, at most ``free``. None where results are awaited,
            or where the search is over: with nothing under way, that ends the sweep.
        """

    @abstractmethod
    def tell(self, job: Job, result: Result | None) -> None:
        """Learn how a job ended.

        At the start this is called for every job that the journal knows, in the order in which they began, also for
        those of an earlier launcher; ``None`` then says that the job is under way or will be taken up again, and its
        result follows. No job is told twice with a result.
        """

    def prune(self, job: Job, history: Sequence[tuple[int, float]]) -> bool:
        """Whether a job under way should stop.

        Args:
            job: The job.
            history: Epoch and monitored value of each validation so far; called when it has grown.
        """
        return False


@dataclass(frozen=True)
class Work:
    """What an executor runs: a command line in a process of its own.

    Attributes:
        name: Short, for tables and queues.
        argv: Without the program's name: ``("train", "policy=full", …, "hydra.mode=RUN")``.
        env: Environment variables to set.
        log: Where its output goes; appended to.
        claim: The file by which this launcher has the job.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    claim: Path


class Handle(ABC):
    """A started process, wherever it runs.

    Attributes:
        slot: Where it runs, in short: ``0``, ``gpu 1``, ``host:1234``.
    """

    slot: str = ""

    @abstractmethod
    def poll(self) -> int | None:
        """The exit code, the negative number of a signal, or ``None`` while it runs."""

    def begun(self) -> bool:
        """Whether it has left the engine's queue; from then on ``sweep.timeout`` counts."""
        return True

    @abstractmethod
    def stop(self, hard: bool = False) -> None:
        """Ask it to end (SIGTERM: the run can be gone on with), or with ``hard`` end it, and all that it started."""


class Executor(ABC):
    """Runs processes; `close` leaves none behind.

    Attributes:
        slots: How many jobs can run at once.
    """

    slots: int = 1

    @abstractmethod
    def start(self, work: Work) -> Handle:
        """Start a process, and return at once.

        Raises:
            RunError: It cannot be started.
        """

    def close(self) -> None:
        """Release what is held; called once, whatever happened."""
        return

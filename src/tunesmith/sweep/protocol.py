"""Define how the parts of a sweep work together: a searcher asks for jobs, an executor runs them, a journal remembers.

A **job** is a number and the overrides that make it differ. The number identifies it within the sweep: whoever asks for
it again, after a kill or in a second launcher, means the same job, and it runs once. A job runs as the command line
``tunesmith train <all overrides> hydra.mode=RUN`` in an operating-system process of its own, with a run folder known in
advance. The same command in the same run folder resumes, so a job can be killed, retried or moved to another machine at
any time.

The launcher (`launcher.py`) connects them::

    for each job that the journal knows:  searcher.tell(job, result)      # None: under way, the launcher takes it up
    repeat:
        for each free slot:               searcher.ask(free) -> jobs      # [] while waiting for results, or at the end
        for each job under way:           searcher.prune(job, history)    # True stops it
        for each job that ended:          searcher.tell(job, result)      # also of those that another launcher ran
    until nothing is under way and ask gives nothing

Searchers are built from ``sweep.searcher`` with the arguments that `config.known.SUPPLIED` names: ``space`` and
``folder``. They run in the launcher's process and thread, and do not import torch. Executors are built from
``sweep.executor``.
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
        status: ``completed``; ``failed``, after all retries; ``pruned``, if the searcher stopped it.
        folder: Its run folder, which may not exist if the job failed early.
        objective: Best monitored value over all epochs; ``None`` if there is none. It may be NaN.
        monitor: Name of the monitored metric, such as ``val/accuracy``.
        mode: Whether the largest (``max``) or the smallest (``min``) value is best.
        metrics: All metrics of run.json, flat: ``test/accuracy``, ``best/val/loss``, …
        seconds: Duration of all attempts together, except those whose launcher was killed.
        reason: Why it failed, in one line; empty if it did not.
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
    """The search space of a sweep.

    Attributes:
        swept: Hydra's parsed overrides that contain a sweep: ``choice``, ``range``, ``glob`` or ``interval``, sorted by
            key; ``sweep_string_iterator`` lists the values of the countable ones.
        fixed: All other overrides, which every job gets.
    """

    swept: tuple[Override, ...]
    fixed: tuple[str, ...]


class Searcher(ABC):
    """Decides which jobs a sweep runs.

    Attributes:
        total: Number of jobs, if known.
        listed: All jobs, if known before the first one starts; the manifest records them.
    """

    total: int | None = None
    listed: Sequence[Job] | None = None

    @abstractmethod
    def ask(self, free: int) -> Sequence[Job]:
        """Return the next jobs.

        Args:
            free: Number of jobs that can start now, at least 1.

        Returns:
            At most ``free`` jobs, with numbers that were neither returned nor told before. Empty if the searcher waits
            for results or if the search is over: when nothing is running, that ends the sweep.
        """

    @abstractmethod
    def tell(self, job: Job, result: Result | None) -> None:
        """Receive the result of a job.

        At the start this is called for every job in the journal, in the order in which they started, including those of
        earlier launchers; ``None`` then means that the job is running or will be resumed, and its result follows. A
        result is told once per job.
        """

    def prune(self, job: Job, history: Sequence[tuple[int, float]]) -> bool:
        """Return whether to stop a running job.

        Args:
            job: The job.
            history: Epoch and monitored value per validation so far; called whenever it has grown.
        """
        return False


@dataclass(frozen=True)
class Work:
    """A command line that an executor runs in a process of its own.

    Attributes:
        name: Short name for tables and queues.
        argv: Command line without the program's name: ``("train", "policy=full", …, "hydra.mode=RUN")``.
        env: Environment variables to set.
        log: File that output is appended to.
        claim: File of this launcher's claim on the job.
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
        pid: Its process id on this machine; ``None`` if it runs elsewhere.
    """

    slot: str = ""
    pid: int | None = None

    @abstractmethod
    def poll(self) -> int | None:
        """Return the exit code, the negative number of a signal, or ``None`` while it runs."""

    def begun(self) -> bool:
        """Return whether it has left the engine's queue; ``sweep.timeout`` counts from then on."""
        return True

    @abstractmethod
    def stop(self, hard: bool = False) -> None:
        """Ask it to end (SIGTERM, so that the run can be resumed) or, with ``hard``, kill it and all its children."""


class Executor(ABC):
    """Runs processes; `close` leaves none behind.

    Attributes:
        slots: Number of jobs that can run at once.
    """

    slots: int = 1

    @abstractmethod
    def start(self, work: Work) -> Handle:
        """Start a process and return at once.

        Raises:
            RunError: It cannot be started.
        """

    def close(self) -> None:
        """Release all resources; called once, whatever happened."""
        return

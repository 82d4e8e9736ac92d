"""Run a job in its own process beside a worker of another engine; the launcher reaches it through files.

Workers share only a file system with the launcher. Next to a job's claim, each attempt has files of its own: ``.stop``
asks it to end, and ``.alive`` exists while it runs. A job ends by itself when another launcher claims it or its own
launcher sends no more heartbeats. It begins only when every other attempt has ended or has been silent for a minute: a
lost worker may live on unseen until it finds its order to end. So two processes never work in one run folder; on one
machine, the run itself refuses to.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.atomic import write_text
from tunesmith.config.check import present
from tunesmith.sweep.claim import STALE, Claim
from tunesmith.sweep.executor.process import GRACE, inherited
from tunesmith.sweep.protocol import Work

LOOK = 0.2
"""Seconds between two checks of the process and its files."""

SILENT = 2 * STALE
"""Seconds without a heartbeat of the launcher after which a job ends, by the worker's clock."""


@dataclass
class Remote:
    """One attempt at a job: pickled, sent to a worker and run where it is called.

    Args:
        work: The job.
        folder: The working folder.
        name: The try's own, in the names of its files.

    Attributes:
        process: The job's, while it runs; it is not sent along.
    """

    work: Work
    folder: str = field(default_factory=lambda: str(Path.cwd()))
    name: str = field(default_factory=lambda: secrets.token_hex(4))
    process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "process": None}

    def __call__(self) -> int:
        """Run the job and return its exit code; the negative number of a signal."""
        watch = _Watch(self)
        watch.wait_for_others()
        if watch.order():
            return 128 + signal.SIGTERM
        with self.work.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith", *self.work.argv],
                cwd=self.folder,
                env={**inherited(), **self.work.env, present.SAFE_PATH: "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # the worker itself may be killed
            )
        self.process = process
        try:
            while process.poll() is None:
                watch.live()
                if order := watch.order():
                    _signal(process, order)
                time.sleep(LOOK)
        finally:
            _signal(process, "kill")
            self.process = None
            watch.end()
        return process.returncode

    def checkpoint(self) -> object:
        """Let the job save before the queue takes its machine away; submitit then resubmits the same call."""
        from submitit.helpers import DelayedSubmission  # type: ignore[import-not-found,unused-ignore]

        process = self.process
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        _Watch(self).end()
        return DelayedSubmission(self)

    def ask_to_end(self, hard: bool) -> None:
        """Leave an order to end in the ``.stop`` file."""
        write_text(_Watch(self).stop, "kill" if hard else "term")

    def has_begun(self) -> bool:
        """Return whether a worker has started the attempt."""
        return _Watch(self).alive.exists()

    def lost(self, what: str) -> int:
        """Log that the worker ended without a result, order the job to end too, and return an exit code."""
        self.ask_to_end(hard=True)
        with self.work.log.open("a", encoding="utf-8") as log:
            log.write(f"\n{what}\n")
        return 1


class _Watch:
    """The files of an attempt.

    Args:
        remote: The attempt.
    """

    def __init__(self, remote: Remote) -> None:
        self.claim = remote.work.claim
        self.alive, self.stop = (self.claim.with_suffix(f".{remote.name}.{kind}") for kind in ("alive", "stop"))
        self._beats, self._since = 0.0, time.monotonic()

    def live(self) -> None:
        self.alive.touch()

    def end(self) -> None:
        self.alive.unlink(missing_ok=True)

    def order(self) -> str:
        """Return ``term`` or ``kill`` if the job must end, else an empty string."""
        with contextlib.suppress(OSError):
            return self.stop.read_text(encoding="utf-8")
        if not Claim(self.claim).is_newest():
            return "term"
        with contextlib.suppress(OSError):
            beats = self.claim.stat().st_mtime
            if beats != self._beats:
                self._beats, self._since = beats, time.monotonic()
        return "term" if time.monotonic() - self._since > SILENT else ""

    def wait_for_others(self) -> None:
        """Wait until no other attempt at the job runs, or until it has been silent for `STALE` seconds."""
        number = self.claim.stem.rpartition("-")[0]
        for alive in sorted(set(self.claim.parent.glob(f"{number}-*.alive")) - {self.alive}):
            touched, since = 0.0, time.monotonic()
            while alive.exists() and time.monotonic() - since < STALE and not self.order():
                with contextlib.suppress(OSError):
                    if alive.stat().st_mtime != touched:
                        touched, since = alive.stat().st_mtime, time.monotonic()
                time.sleep(LOOK)
            if time.monotonic() - since >= STALE:
                alive.unlink(missing_ok=True)  # wait for it only once; if it lives, it creates the file again


def prepare(work: Work, threads: int) -> Remote:
    """Make an attempt at a job, ready to be sent to a worker."""
    return Remote(
        Work(work.name, work.argv, {"OMP_NUM_THREADS": str(max(1, threads)), **work.env}, work.log, work.claim)
    )


def _signal(process: subprocess.Popen[bytes], order: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        if order == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.terminate()


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):  # only Linux has prctl; 1 is PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)

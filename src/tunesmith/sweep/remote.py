"""A job beside a worker of another engine: a process of its own, which the launcher reaches through files.

Workers share nothing with the launcher but a file system. Beside a job's claim, ``.stop`` asks it to end, and
``.alive`` is there while it runs. A job ends by itself when its claim is another launcher's or its launcher gives no
more sign of life, and it begins when whoever had the claim before has ended: two processes never work in one run
folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.atomic import write_text
from tunesmith.sweep.claim import STALE, Claim
from tunesmith.sweep.process import GRACE, inherited
from tunesmith.sweep.protocol import Work

LOOK = 0.2
"""Seconds between two looks at the process and its files."""

SILENT = 2 * STALE
"""Seconds without a sign of life of the launcher after which a job ends; by the worker's clock."""

_current: list[subprocess.Popen[bytes]] = []


@dataclass
class Remote:
    """Runs one job where it is called; it is sent there by pickling.

    Args:
        work: The job.
        folder: The working folder.
    """

    work: Work
    folder: str = field(default_factory=lambda: str(Path.cwd()))

    def __call__(self) -> int:
        """Run the job, and give its exit code; negative for a signal."""
        watch = _Watch(self.work.claim)
        watch.wait_for_predecessors()
        if watch.order():
            return 128 + signal.SIGTERM
        with self.work.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith", *self.work.argv],
                cwd=self.folder,
                env={**inherited(), **self.work.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # the worker itself may be killed
            )
        _current.append(process)
        try:
            while process.poll() is None:
                watch.live()
                if order := watch.order():
                    _signal(process, order)
                time.sleep(LOOK)
        finally:
            _signal(process, "kill")
            _current.remove(process)
            watch.end()
        return process.returncode

    def checkpoint(self) -> Any:
        """Let the job save before the queue takes its machine away; submitit then calls the same again elsewhere."""
        from submitit.helpers import DelayedSubmission  # type: ignore[import-not-found,unused-ignore]

        for process in _current:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        _Watch(self.work.claim).end()
        return DelayedSubmission(Remote(self.work, self.folder))


class _Watch:
    """The files of a job.

    Args:
        claim: The job's.
    """

    def __init__(self, claim: Path) -> None:
        self.claim, self.alive = claim, claim.with_suffix(".alive")
        self._beats, self._since = 0.0, time.monotonic()

    def live(self) -> None:
        self.alive.touch()

    def end(self) -> None:
        self.alive.unlink(missing_ok=True)

    def order(self) -> str:
        """``term`` or ``kill`` where the job is to end, else nothing."""
        with contextlib.suppress(OSError):
            return _order_file(self.claim).read_text(encoding="utf-8")
        if not Claim(self.claim).is_newest():
            return "term"
        with contextlib.suppress(OSError):
            beats = self.claim.stat().st_mtime
            if beats != self._beats:
                self._beats, self._since = beats, time.monotonic()
        return "term" if time.monotonic() - self._since > SILENT else ""

    def wait_for_predecessors(self) -> None:
        """Wait until no earlier claim's job runs, or until it gives no more sign of life."""
        number, _, generation = self.claim.stem.rpartition("-")
        for earlier in range(1, int(generation)):
            alive = self.claim.with_name(f"{number}-{earlier}.alive")
            touched, since = 0.0, time.monotonic()
            while alive.exists() and time.monotonic() - since < STALE:
                with contextlib.suppress(OSError):
                    if alive.stat().st_mtime != touched:
                        touched, since = alive.stat().st_mtime, time.monotonic()
                time.sleep(LOOK)


def ask_to_end(work: Work, hard: bool) -> None:
    """Leave word for a job to end."""
    write_text(_order_file(work.claim), "kill" if hard else "term")


def has_begun(work: Work) -> bool:
    """Whether a worker has taken the job up."""
    return _Watch(work.claim).alive.exists()


def prepare(work: Work, threads: int) -> Remote:
    """Make a job ready to be sent: an order from an earlier try is taken back."""
    _order_file(work.claim).unlink(missing_ok=True)
    return Remote(
        Work(work.name, work.argv, {"OMP_NUM_THREADS": str(max(1, threads)), **work.env}, work.log, work.claim)
    )


def lost(work: Work, what: str) -> int:
    """Note that a worker ended without a result, and make sure that its job does too; gives an exit code."""
    ask_to_end(work, hard=True)
    with work.log.open("a", encoding="utf-8") as log:
        log.write(f"\n{what}\n")
    return 1


def _order_file(claim: Path) -> Path:
    return claim.with_suffix(".stop")


def _signal(process: subprocess.Popen[bytes], order: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        if order == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.terminate()


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)

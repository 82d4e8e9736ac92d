"""Launch the jobs of a sweep: claim them, keep the slots busy, and isolate each job's failure from the others."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tunesmith.run.record import process
from tunesmith.sweep import outcome
from tunesmith.sweep.claim import BEAT, Claim, Claims
from tunesmith.sweep.executor.process import GRACE
from tunesmith.sweep.journal import Journal
from tunesmith.sweep.protocol import Executor, Handle, Job, Result, Searcher, Work
from tunesmith.sweep.rules import Rules
from tunesmith.sweep.screen import Row, Screen

TICK = 0.05
"""Seconds between two polls of the running jobs."""

LOOK = 1.0
"""Seconds between two checks of other launchers' progress and of the jobs' own metrics."""


@dataclass
class Running:
    """A running job."""

    job: Job
    claim: Claim
    handle: Handle
    folder: Path
    log: Path
    tries: int = 1
    spent: float = 0.0
    begun: bool = True  # False while another engine keeps it in its queue
    began: float = field(default_factory=lambda: time.monotonic())
    asked: float | None = None  # time at which it was asked to end
    why: str = ""  # timeout, pruned, stopped or lost, if the launcher ended it
    log_began: int = 0
    kills: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds over all attempts, except those whose launcher was killed."""
        return self.spent + time.monotonic() - self.began


class Launcher:
    """Runs the jobs that a searcher asks for; see `protocol`.

    Args:
        argv: Command line of every job, before its own changes.
        journal: The sweep's record.
        searcher: Chooses the jobs.
        executor: Runs the jobs.
        rules: What to do when jobs fail.
        screen: Shows the progress.

    Attributes:
        interrupted: Number of the signal that stopped the sweep, if any.
        codes: Exit codes of the jobs that failed.
    """

    def __init__(
        self,
        argv: Sequence[str],
        journal: Journal,
        searcher: Searcher,
        executor: Executor,
        rules: Rules,
        screen: Screen,
    ) -> None:
        self.argv, self.journal, self.searcher = tuple(argv), journal, searcher
        self.executor, self.rules, self.screen = executor, rules, screen
        self.claims = Claims(journal.folder / "claims")
        self.running: list[Running] = []
        self.waiting: list[Job] = []  # unfinished jobs that this launcher does not run: to be resumed, or another's
        self.interrupted: int | None = None
        self.codes: list[int] = []
        self._over = False  # start no more jobs
        self._stopping = self._hard = False  # ask running jobs to end, or kill them
        self._told: set[int] = set()
        self._looked = self._beat = 0.0

    def run(self) -> None:
        """Run until nothing is left to do or the sweep is stopped."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._restore()
            while self._turn():
                time.sleep(TICK)
        finally:
            self._leave()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _restore(self) -> None:
        for entry in self.journal.entries.values():
            self.searcher.tell(entry.job, entry.result)
            if entry.result is not None:
                self._told.add(entry.job.number)
                self.screen.ended(entry.job, entry.result, new=False)
            else:
                self.waiting.append(entry.job)

    def _turn(self) -> bool:
        """Check everything once and return whether there is more to do."""
        look = time.monotonic() - self._looked >= LOOK
        for running in list(self.running):
            self._watch(running, look)
        if look:
            self._looked = time.monotonic()
            self._look_around()
        if not self._over:
            self._fill(look)
        self.screen.show([Row(r.job, r.handle.slot, r.seconds, r.history) for r in self.running], len(self.waiting))
        return bool(self.running) or (not self._over and bool(self.waiting))

    def _look_around(self) -> None:
        """Learn what other launchers did, and renew this launcher's claims."""
        self.journal.refresh()
        for job in list(self.waiting):
            entry = self.journal.entries.get(job.number)
            if entry is not None and entry.result is not None:
                self.waiting.remove(job)
                self._tell(job, entry.result)
        if time.monotonic() - self._beat >= BEAT:
            self._beat = time.monotonic()
            for running in self.running:
                if not running.claim.renew():
                    self.screen.say(f"job {running.job.number}: taken over by {self.claims.owner(running.job.number)}")
                    running.handle.stop(hard=True)
                    running.why = "lost"

    def _fill(self, look: bool) -> None:
        """Start jobs while slots are free."""
        if look:
            for job in list(self.waiting):
                if len(self.running) < self.executor.slots and self._begin(job):
                    self.waiting.remove(job)
        while (free := self.executor.slots - len(self.running)) > 0 and not self._over:
            jobs = self.searcher.ask(free)
            for job in jobs:
                if not self._begin(job):
                    self.waiting.append(job)
            if not jobs:
                break

    def _begin(self, job: Job) -> bool:
        """Start a job unless another launcher has it; return whether the job is settled here."""
        claim = self.claims.take(job.number)
        if claim is None:
            return False
        self.journal.refresh()
        entry = self.journal.entries.get(job.number)
        if entry is not None and entry.result is not None:
            claim.give_back()
            self._tell(job, entry.result)
            return True
        self.journal.started(job)
        running = self._start(job, claim)
        running.spent = self.journal.entries[job.number].spent
        self.running.append(running)
        return True

    def _start(self, job: Job, claim: Claim) -> Running:
        folder = self.journal.run_folder(job.number)
        log = self.journal.folder / "output" / f"{folder.name}.txt"
        log.parent.mkdir(exist_ok=True)
        env = {"TUNESMITH_JOB": str(folder), "TUNESMITH_SWEEP": self.journal.name}
        argv = (*self.argv, *job.changes, "hydra.mode=RUN")
        size = log.stat().st_size if log.exists() else 0
        kills = outcome.memory_kills()
        handle = self.executor.start(Work(f"{job.number:04d}", argv, env, log, claim.path))
        if handle.pid:
            claim.job = process.identity(handle.pid)
            claim.renew()
        return Running(job, claim, handle, folder, log, log_began=size, kills=kills, begun=handle.begun())

    def _watch(self, running: Running, look: bool) -> None:
        """Check whether a job has ended or should be ended, and follow its progress."""
        code = running.handle.poll()
        if look and not running.begun and running.handle.begun():
            running.begun, running.began = True, time.monotonic()
        if code is not None:
            self.running.remove(running)
            self._end(running, code)
        elif running.asked is not None:
            if self._hard or time.monotonic() - running.asked > GRACE:
                running.handle.stop(hard=True)
        elif self._stopping:
            self._ask_to_end(running, "stopped")
        elif running.begun and time.monotonic() - running.began > (self.rules.timeout or math.inf):
            self._ask_to_end(running, "timeout")
        elif look:
            self._follow(running)

    def _follow(self, running: Running) -> None:
        """Read a job's progress, and let the searcher prune it."""
        monitor = (outcome.record_of(running.folder).get("monitor") or {}).get("metric")
        if monitor is None:
            return
        history = outcome.history(running.folder, monitor)
        if len(history) > len(running.history):
            running.history = history
            if self.searcher.prune(running.job, history):
                self._ask_to_end(running, "pruned")

    def _ask_to_end(self, running: Running, why: str) -> None:
        running.why, running.asked = why, time.monotonic()
        running.handle.stop(hard=self._hard)

    def _end(self, running: Running, code: int) -> None:
        """Handle the end of a job's process: record it, retry it, or leave it for later."""
        job, done = running.job, outcome.completed(running.folder)
        if not done and running.why in ("stopped", "lost"):
            self.journal.note(job, "stopped", seconds=round(running.seconds, 3))
            running.claim.give_back()
            if running.why == "lost":  # the launcher that took it over may die too
                self.waiting.append(job)
            return
        if done or running.why == "pruned":
            self._note(
                running, outcome.result(running.folder, "completed" if done else "pruned", running.seconds), code
            )
            return
        reason = (
            f"took longer than {self.rules.timeout:g} s" if running.why == "timeout" else self._reason(running, code)
        )
        if running.tries <= self.rules.retries and not self._over:
            self.screen.say(f"job {job.number}: {reason}; starting it again ({running.tries} of {self.rules.retries})")
            self.journal.note(job, "retried", reason=reason)
            again = self._start(job, running.claim)
            again.tries, again.spent = running.tries + 1, running.seconds
            self.running.append(again)
            return
        self.codes.append(code)
        self._note(running, outcome.result(running.folder, "failed", running.seconds, reason), code)
        if self.rules.end(len(self.codes)) and not self._over:
            self.screen.say(f"stopping after {len(self.codes)} failed jobs")
            self._over = self._stopping = True

    def _reason(self, running: Running, code: int) -> str:
        return outcome.reason(running.folder, code, running.log, running.log_began, running.kills)

    def _note(self, running: Running, result: Result, code: int) -> None:
        self.journal.ended(running.job, result, code)
        running.claim.give_back()
        self._tell(running.job, result)

    def _tell(self, job: Job, result: Result) -> None:
        if job.number not in self._told:
            self._told.add(job.number)
            self.searcher.tell(job, result)
            self.screen.ended(job, result)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Stop the sweep on the first signal, so that its jobs can be resumed; kill the jobs on the second."""
        self._hard = self.interrupted is not None
        self._over, self._stopping, self.interrupted = True, True, number
        self.screen.interrupted(self._hard, len(self.running))

    def _leave(self) -> None:
        """Leave no process and no claim behind, whatever happened."""
        for running in self.running:
            running.handle.stop(hard=True)
            running.claim.give_back()
        self.executor.close()
        self.screen.close()

"""Handle stop requests, at once or after the run has saved.

A request is a value, one `Stop` per command: signals reach it in the main thread (`Stop.listening`), and any thread
can set it (`Stop.ask`), which is how training in another thread is stopped.

A signal handler runs between any two instructions, so it only records the signal and, unless the caller polls, raises
`StoppedError`. Training polls between batches (`Stop.later`); a save in progress is never interrupted (`Stop.held`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from enum import Enum, auto
from types import FrameType

from tunesmith.errors import StoppedError

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
"""Sent by a queue's time limit or eviction, by Ctrl-C, and by SLURM with ``--signal``."""


class _Mode(Enum):
    NOW = auto()  # raise immediately
    LATER = auto()  # record it: the caller polls
    HELD = auto()  # record it: the current block must finish


class Stop:
    """A request to stop one command; it cannot be withdrawn."""

    def __init__(self) -> None:
        self._pid = 0  # of the process that listens for signals
        self._mode = _Mode.NOW
        self._asked: signal.Signals | None = None

    def ask(self, number: int = signal.SIGTERM) -> None:
        """Request a stop from any thread; the run then saves and ends as after a signal."""
        self._asked = self._asked or signal.Signals(number)

    def asked(self) -> signal.Signals | None:
        """Return the first signal received, if any."""
        return self._asked

    def obey(self) -> None:
        """Stop if requested.

        Raises:
            StoppedError: A stop was requested.
        """
        if self._asked is not None:
            raise StoppedError(self._asked.name)

    def later(self) -> None:
        """Let the caller poll and `obey`; a second Ctrl-C still stops at once."""
        if self._pid == os.getpid():
            self._install()  # Lightning wraps our handler in one that would end the epoch unsaved
        self._mode = _Mode.LATER

    def now(self) -> None:
        """Let the next signal stop the process immediately; earlier ones are left to `obey`."""
        self._mode = _Mode.NOW

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no signal interrupt the block."""
        before, self._mode = self._mode, _Mode.HELD
        try:
            yield
        finally:
            self._mode = before

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Turn this process's signals into requests during the block; does nothing outside the main thread.

        The previous handlers are restored at the end. Signals that are ignored, as under ``nohup``, stay ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.getsignal(s) for s in _available()}
        self._pid = os.getpid()
        self._install()
        try:
            yield
        finally:
            self._pid = 0
            for number, handler in before.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _available():
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a child process that inherited this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        again, self._asked = self._asked is not None, self._asked or signal.Signals(number)
        impatient = again and number == signal.SIGINT
        if self._mode is _Mode.HELD or (self._mode is _Mode.LATER and not impatient):
            if not again:
                os.write(2, f"\ntunesmith: {self._asked.name}: saving between two batches, then stopping\n".encode())
            return
        # Raise for every further signal: Python drops an exception raised while finalising an object.
        raise StoppedError(self._asked.name)


def _available() -> list[signal.Signals]:
    found = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    return [s for s in found if signal.getsignal(s) is not signal.SIG_IGN]

"""Stop requests: obeyed at once, or once the run has saved.

A request is a value, one `Stop` per command: a signal reaches it in the main thread (`Stop.listening`), and any thread
may make one (`Stop.ask`), which is how a training in another thread is stopped.

A handler runs between any two instructions, so it does next to nothing: it notes the signal and, unless somebody has
said that they will look for it, raises `StoppedError`. Training says so (`Stop.later`) and looks between two batches; a
save under way is never disturbed (`Stop.held`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

from tunesmith.errors import StoppedError

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
"""A queue's time limit or eviction, Ctrl-C, and what SLURM sends where ``--signal`` asks for it."""


class _Mode(Enum):
    NOW = auto()  # raise where the process happens to be
    LATER = auto()  # note it: somebody looks
    HELD = auto()  # note it: something must not be cut short


class Stop:
    """The request that one command stop; once made, it stands."""

    def __init__(self) -> None:
        self._pid = 0  # of the process that listens for signals
        self._mode = _Mode.NOW
        self._asked: signal.Signals | None = None

    def ask(self, number: int = signal.SIGTERM) -> None:
        """Ask for a stop from whatever thread; the run saves between two batches and ends as a signal would end it."""
        self._asked = self._asked or signal.Signals(number)

    def asked(self) -> signal.Signals | None:
        """The first signal that came, if any did."""
        return self._asked

    def obey(self) -> None:
        """Stop, if that was asked for.

        Raises:
            StoppedError: It was.
        """
        if self._asked is not None:
            raise StoppedError(self._asked.name)

    def later(self) -> None:
        """Leave it to the caller to look for requests and to `obey`; a second Ctrl-C still stops at once."""
        if self._pid == os.getpid():
            self._install()  # Lightning has put a handler of its own around ours, which would end the epoch unsaved
        self._mode = _Mode.LATER

    def now(self) -> None:
        """Let the next signal stop the process wherever it is; one that came meanwhile is left to `obey`."""
        self._mode = _Mode.NOW

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no signal cut the block short."""
        before, self._mode = self._mode, _Mode.HELD
        try:
            yield
        finally:
            self._mode = before

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Turn this process's signals into requests until the end of the block; in other threads than the main, none.

        Handlers belong to the process, so they are put back at the end. Signals that somebody chose to ignore, as
        ``nohup`` does, stay ignored.
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

    def _receive(self, number: int, frame: Any) -> None:
        if os.getpid() != self._pid:  # a child that has inherited this
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        again, self._asked = self._asked is not None, self._asked or signal.Signals(number)
        impatient = again and number == signal.SIGINT
        if self._mode is _Mode.HELD or (self._mode is _Mode.LATER and not impatient):
            if not again:
                os.write(2, f"\ntunesmith: {self._asked.name}: saving between two batches, then stopping\n".encode())
            return
        # Raised again by every further signal: Python drops what is raised while it finalises an object.
        raise StoppedError(self._asked.name)


def _available() -> list[signal.Signals]:
    found = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    return [s for s in found if signal.getsignal(s) is not signal.SIG_IGN]

"""Signals that ask the process to stop: obeyed at once, or once the run has saved.

A handler runs between any two instructions, so it does next to nothing: it notes the signal and, unless somebody has
said that they will look for it, raises `StoppedError`. Training says so (`later`) and looks between two batches; a save
under way is never disturbed (`held`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from tunesmith.errors import StoppedError

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
"""A queue's time limit or eviction, Ctrl-C, and what SLURM sends where ``--signal`` asks for it."""


class _Mode(Enum):
    NOW = auto()  # raise where the process happens to be
    LATER = auto()  # note it: somebody looks
    HELD = auto()  # note it: something must not be cut short


@dataclass
class _State:
    pid: int = 0
    mode: _Mode = _Mode.NOW
    asked: signal.Signals | None = None


_state = _State()


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Turn the signals into `StoppedError` in this process, until the end of the block.

    Signals that somebody chose to ignore, as ``nohup`` does, stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in _available()}
    _state.pid, _state.mode, _state.asked = os.getpid(), _Mode.NOW, None
    _install()
    try:
        yield
    finally:
        _state.pid, _state.mode, _state.asked = 0, _Mode.NOW, None
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> signal.Signals | None:
    """The first signal that came, if any did."""
    return _state.asked


def obey() -> None:
    """Stop, if a signal has come.

    Raises:
        StoppedError: One has.
    """
    if _state.asked is not None:
        raise StoppedError(_state.asked.name)


def later() -> None:
    """Leave it to the caller to look for signals and to `obey`; a second Ctrl-C still stops at once."""
    if _state.pid == os.getpid():
        _install()  # Lightning has put a handler of its own around ours, which would end the epoch unsaved
    _state.mode = _Mode.LATER


def now() -> None:
    """Let the next signal stop the process wherever it is; one that came meanwhile is left to `obey`."""
    _state.mode = _Mode.NOW


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let no signal cut the block short."""
    before, _state.mode = _state.mode, _Mode.HELD
    try:
        yield
    finally:
        _state.mode = before


def _available() -> list[signal.Signals]:
    found = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    return [s for s in found if signal.getsignal(s) is not signal.SIG_IGN]


def _install() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _available():
            signal.signal(number, _receive)


def _receive(number: int, frame: Any) -> None:
    if os.getpid() != _state.pid:  # a child that has inherited this
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    again, _state.asked = _state.asked is not None, _state.asked or signal.Signals(number)
    impatient = again and number == signal.SIGINT
    if _state.mode is _Mode.HELD or (_state.mode is _Mode.LATER and not impatient):
        if not again:
            os.write(2, f"\ntunesmith: {_state.asked.name}: saving between two batches, then stopping\n".encode())
        return
    # Raised again by every further signal: Python drops what is raised while it finalises an object.
    raise StoppedError(_state.asked.name)

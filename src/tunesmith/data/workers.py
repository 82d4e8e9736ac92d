"""Watch loader workers: report the file that a dead or hanging one was reading, and leave no process behind.

A worker notes the file that it reads in memory shared with the training process, so the note survives its death.
Workers ignore signals: under a queue these reach every process of a job, and the training process needs further batches
until it has saved.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.context import ForkContext, ForkProcess
from multiprocessing.sharedctypes import RawArray, RawValue
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from tunesmith import signals
from tunesmith.errors import DataError

_LENGTH = 1024  # maximum bytes of a path; longer ones lose their beginning
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h

_slot: ctypes.Array[ctypes.c_char] | None = None  # what this process is reading, if it is a worker of a loader


class Worker(ForkProcess):
    """A worker of a loader, known as one even before it has registered its process number."""


class Flag:
    """An event without a lock, since a lock held by a killed worker would block its loader for ever."""

    def __init__(self) -> None:
        self._set = RawValue("b", 0)

    def set(self) -> None:
        """Set it."""
        self._set.value = 1

    def is_set(self) -> bool:
        """Return whether it was set, by any process."""
        return bool(self._set.value)


class Context(ForkContext):
    """Starts workers as children of this process, regardless of Python's default: only children die with it."""

    def __init__(self, watch: Watch | None = None) -> None:
        super().__init__()
        self._watch = watch

    def Process(self, target: Callable[..., object], args: Iterable[object] = ()) -> Worker:  # type: ignore[override]  # noqa: N802 - a class in multiprocessing
        """Make a worker, without starting it."""
        worker = Worker(target=target, args=args)
        if self._watch is not None:
            self._watch.children.add(worker)
        return worker

    def Event(self) -> Any:  # noqa: N802 - multiprocessing's name
        """Make the event by which a loader stops its workers."""
        return Flag()


class Watch:
    """Watches the workers of one loader; called in each worker when it starts.

    Args:
        workers: Number of workers.
    """

    def __init__(self, workers: int) -> None:
        self.pids = RawArray("q", workers)
        self.slots = [RawArray("c", _LENGTH) for _ in range(workers)]
        self.children: weakref.WeakSet[Worker] = weakref.WeakSet()  # some may not have registered their number yet

    def __call__(self, worker: int) -> None:
        """Prepare a worker."""
        global _slot
        _slot = self.slots[worker]
        self.pids[worker] = os.getpid()
        for name in signals.SIGNALS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        if sys.platform.startswith("linux"):
            # torch's own watchdog does not stop a hanging worker.
            ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)

    def reading(self) -> Iterator[tuple[int, str]]:
        """Yield the process number of each started worker, and what it is reading, or was reading when it died."""
        for pid, slot in zip(self.pids, self.slots, strict=True):
            if pid:
                yield pid, slot.value.decode(errors="replace")


@contextlib.contextmanager
def reading(image: object) -> Iterator[None]:
    """Note what this worker reads during the block; does nothing in other processes."""
    if _slot is None:
        yield
        return
    _slot.value = os.fsencode(image)[-_LENGTH + 1 :] if isinstance(image, Path) else b"an image in memory"
    try:
        yield
    finally:  # not reached by a killed process
        _slot.value = b""


class Watches:
    """Watches all loaders of a command: reports the file of a dead or hanging worker, and leaves no worker behind."""

    def __init__(self) -> None:
        self._found: list[Watch] = []

    def of(self, workers: int) -> Watch:
        """Watch another loader.

        Args:
            workers: Number of its workers.
        """
        if not self._found:
            # At exit Python asks workers to stop, which these ignore, and would wait for them for ever.
            Finalize(None, self.end, exitpriority=100)
        self._found.append(Watch(workers))
        return self._found[-1]

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Report the file of a dead or hanging worker as an error, and leave no worker behind.

        Raises:
            DataError: A worker died or hangs.
        """
        try:
            yield
        except BaseException as error:
            with _unheard():
                found = self._explanation(error)
            if found is None:
                raise
            raise DataError(found) from error
        finally:
            self.end()

    def end(self) -> None:
        """Kill all workers, including those that hang."""
        ours = {pid for watch in self._found for pid, _ in watch.reading()}
        begun = {child for watch in self._found for child in watch.children}
        left = [child for child in multiprocessing.active_children() if child in begun or child.pid in ours]
        if not left:
            return
        with _unheard():
            for child in left:
                child.kill()
            for child in left:
                child.join()

    def _explanation(self, error: BaseException) -> str | None:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        busy = [(pid, file) for watch in self._found for pid, file in watch.reading() if file]
        # A connection to a killed worker breaks a moment before the worker is gone.
        broken = isinstance(error, ConnectionError | EOFError | FileNotFoundError)
        alive = _alive(busy if broken else [])
        if "DataLoader timed out" in text:
            files = sorted({file for pid, file in busy if pid in alive})
            return (
                f"Expected a batch within {text.rpartition('after ')[2]} but the loader workers hang; they were "
                f"reading {', '.join(files) or 'no image'}. Look at these files, or at the disk that they are on; "
                "where it is slow, use a larger data.worker_timeout."
            )
        files = sorted({file for pid, file in busy if pid not in alive})
        by_torch = isinstance(error, RuntimeError) and "DataLoader worker" in text
        if not by_torch and not (files and broken):
            return None
        return (
            f"Expected loader workers to go on but one died ({text.rstrip('. ')}) while it read "
            f"{' or '.join(files) or 'no image'}; look at that file, or, if memory ran out, use data.workers=0 or "
            "fewer."
        )


def _alive(busy: Sequence[tuple[int, str]], patience: float = 2.0) -> set[int | None]:
    """Return the process numbers of living children; wait until a busy one is gone, or for ``patience`` seconds."""
    end = time.monotonic() + patience
    while True:
        alive = {child.pid for child in multiprocessing.active_children()}
        if not busy or any(pid not in alive for pid, _ in busy) or time.monotonic() > end:
            return alive
        time.sleep(0.02)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep torch's handler of ended children, which runs in the main thread, from raising."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)

"""Loader processes that die or hang: which file each of them was reading, and nobody left behind.

A worker notes what it reads in memory that it shares with the training process: one that was killed can say no more.
Signals are for the training process alone; under a queue they reach every process of a job, and a worker that obeyed
would take away the batches that are needed until the run has saved.
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
from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkContext, ForkProcess
from multiprocessing.sharedctypes import RawArray, RawValue
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from tunesmith import signals
from tunesmith.errors import DataError

_LENGTH = 1024  # bytes of a path that are kept, from its end
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h

_slot: Any = None  # of this process, if it is a worker, which reads for one loader all its life: what it is reading


class Worker(ForkProcess):
    """A loader's worker, known as one before it has said its number."""


class Flag:
    """An event without a lock: one that a worker held while it was killed would keep its loader from ever ending."""

    def __init__(self) -> None:
        self._set = RawValue("b", 0)

    def set(self) -> None:
        """Set it, for good."""
        self._set.value = 1

    def is_set(self) -> bool:
        """Whether it was set, by whatever process."""
        return bool(self._set.value)


class Context(ForkContext):
    """Starts workers as children of this process, whatever Python's default is: only children die with it."""

    def __init__(self, watch: Watch | None = None) -> None:
        super().__init__()
        self._watch = watch

    def Process(self, *args: Any, **kwargs: Any) -> Worker:  # type: ignore[override]  # noqa: N802 - a class in multiprocessing
        """Make a worker, not yet started."""
        worker = Worker(*args, **kwargs)
        if self._watch is not None:
            self._watch.children.add(worker)
        return worker

    def Event(self) -> Any:  # noqa: N802 - multiprocessing's name
        """The event by which a loader tells its workers to end."""
        return Flag()


class Watch:
    """What the workers of one loader are reading; called in each of them when it starts.

    Args:
        workers: Their number.
    """

    def __init__(self, workers: int) -> None:
        self.pids = RawArray("q", workers)
        self.slots = [RawArray("c", _LENGTH) for _ in range(workers)]
        self.children: weakref.WeakSet[Worker] = weakref.WeakSet()  # some may not have said their number yet

    def __call__(self, worker: int) -> None:
        """Prepare a worker."""
        global _slot
        _slot = self.slots[worker]
        self.pids[worker] = os.getpid()
        for name in signals.SIGNALS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        if sys.platform.startswith("linux"):
            # torch's own watchdog does not reach a worker that hangs.
            ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)

    def reading(self) -> Iterator[tuple[int, str]]:
        """Process number of each worker that has begun, and what it is reading, or was when it died."""
        for pid, slot in zip(self.pids, self.slots, strict=True):
            if pid:
                yield pid, slot.value.decode(errors="replace")


@contextlib.contextmanager
def reading(image: Any) -> Iterator[None]:
    """Note what this worker reads during the block; nothing happens in other processes."""
    if _slot is None:
        yield
        return
    _slot.value = os.fsencode(image)[-_LENGTH + 1 :] if isinstance(image, Path) else b"an image in memory"
    try:
        yield
    finally:  # what is killed does not come here
        _slot.value = b""


class Watches:
    """Those of one command's loaders: tells which file a worker was at that died or hangs, and leaves none behind."""

    def __init__(self) -> None:
        self._found: list[Watch] = []

    def of(self, workers: int) -> Watch:
        """Watch one loader more.

        Args:
            workers: The number of its workers.
        """
        if not self._found:
            # Python ends by asking workers to stop, which these ignore, and by waiting for them: for ever.
            Finalize(None, self.end, exitpriority=100)
        self._found.append(Watch(workers))
        return self._found[-1]

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Tell which file a worker was at that died or hangs, and leave no worker behind.

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
        """Kill the workers; those that hang would be waited for for ever."""
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
        # A connection to a worker that is being killed breaks a moment before the worker is gone.
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
    """Process numbers of the children that live; looked at until one of the busy ones is gone, or for some seconds."""
    end = time.monotonic() + patience
    while True:
        alive = {child.pid for child in multiprocessing.active_children()}
        if not busy or any(pid not in alive for pid, _ in busy) or time.monotonic() > end:
            return alive
        time.sleep(0.02)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep torch from raising within its handler for children that end, which is the main thread's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)

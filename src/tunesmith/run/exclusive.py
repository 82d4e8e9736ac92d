"""What belongs to the process and can be nobody's value; one command of a process has it at a time.

- The random streams of Python, numpy and torch: layers, dropout and libraries draw from them. A second training in
  between would change the draws of the first, so commands take turns, and each leaves the streams as they were.
- Filters of warnings, the levels of Lightning's loggers, and the handlers that write a run's log.
- Torch's number of threads, its deterministic algorithms and its cuDNN benchmark, which a trainer sets.
- The environment: the run folder, which processes that Lightning starts inherit, and the seed that Lightning leaves.
- W&B's present run.

Handlers of signals are the main thread's, and `Stop.listening` puts them back. The allocator's thresholds are set once
and stay; they change no number. What was built in its turn, such as a `Rebuilt` model, is a value again: any number of
models predict beside each other, in as many threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import torch

from tunesmith.compat.required import assign
from tunesmith.data.randomness import preserved
from tunesmith.run.record.quiet import quiet
from tunesmith.run.session import FOLDER_VARIABLE
from tunesmith.signals import Stop

_turn = threading.RLock()  # a command may run another: to reproduce is to train


@contextlib.contextmanager
def exclusive(stop: Stop) -> Iterator[None]:
    """Wait until no other thread runs a command, and have the process alone until the end of the block.

    Args:
        stop: The request to stop, which also ends the wait.

    Raises:
        StoppedError: A stop was asked for before the turn came.
    """
    while not _turn.acquire(timeout=0.1):
        stop.obey()
    try:
        with preserved(), _settings(), quiet():
            yield
    finally:
        _turn.release()


@contextlib.contextmanager
def announced(folder: Path) -> Iterator[None]:
    """Tell the run folder to the processes that are started meanwhile."""
    before = os.environ.get(FOLDER_VARIABLE)
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(FOLDER_VARIABLE, None)
        else:
            os.environ[FOLDER_VARIABLE] = before


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Put torch's settings back: a trainer that is told nothing of them takes those that it finds."""
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in ("benchmark", "deterministic")}
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.are_deterministic_algorithms_enabled() != deterministic[0]:
            torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        for name, value in cudnn.items():
            assign("torch", torch.backends.cudnn, name, value)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

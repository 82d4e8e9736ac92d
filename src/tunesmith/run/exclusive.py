"""Let one command at a time use the state that belongs to the process.

- random generators of Python, numpy and torch: commands take turns, and each restores them at the end;
- warning filters, the levels of Lightning's loggers, and the handlers that write a run's log;
- torch's number of threads, deterministic algorithms and cuDNN benchmark, which a trainer sets;
- the environment: the run folder, which child processes inherit, and the seed that Lightning sets;
- W&B's current run.

`Stop.listening` restores signal handlers. The allocator's thresholds are set once and change no results. Models built
meanwhile are plain values: any number of them predict side by side, in any thread.
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
    """Wait until no other thread runs a command, and keep others out during the block.

    Args:
        stop: The command's stop request, which also ends the wait.

    Raises:
        StoppedError: A stop was requested while waiting.
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
    """Pass the run folder to processes started during the block."""
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
    """Restore torch's settings, which a trainer without such options would inherit."""
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

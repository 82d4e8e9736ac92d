"""Turn a forked process that has everything imported into a job, as if it had been started on its own."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait

DISTRIBUTED = frozenset(
    {
        *("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR"),
        *("MASTER_PORT", "PL_GLOBAL_SEED", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "JSM_NAMESPACE_RANK"),
        *("TUNESMITH_RUN_FOLDER", "TUNESMITH_JOB"),
    }
)
"""Variables that make a process believe it is part of another distributed run; jobs do not inherit them."""

GRACE = 30.0
"""Seconds that a job gets to shut down after SIGTERM, before it and all its children are killed."""


def inherited() -> dict[str, str]:
    """Return the environment that jobs start with."""
    return {k: v for k, v in os.environ.items() if k not in DISTRIBUTED and not k.startswith("TORCHELASTIC_")}


@contextlib.contextmanager
def clean_environment(more: Mapping[str, str]) -> Iterator[None]:
    """Take the distributed variables out of this process's environment for a while: Lightning reads them on import.

    Args:
        more: What stands in it meanwhile.
    """
    before = dict(os.environ)
    for name in before.keys() - inherited().keys():
        del os.environ[name]
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            os.environ.pop(name, None)
        os.environ.update(before)


def run(argv: Sequence[str], env: Mapping[str, str], folder: str, log: str, threads: int) -> None:
    """Run a tunesmith command line in this process, which was forked for it; does not return.

    Args:
        argv: Command line without the program's name.
        env: The complete environment.
        folder: Working directory.
        log: File that output is appended to.
        threads: Number of CPU threads for computing.
    """
    os.setsid()  # own process group: Ctrl-C reaches only the launcher, and the job's children can be killed with it
    os.chdir(folder)
    _redirect(log)
    _guard()
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _limit_threads(threads)
    began = time.monotonic()  # the imports were another's
    program = importlib.import_module("tunesmith.__main__")
    # Lightning starts the other processes of a distributed run from this module and this argv.
    sys.modules["__main__"] = program
    sys.argv = ["tunesmith", *argv]
    program.main(began)


def _guard() -> None:
    """Fork a watchdog that ends this job if its launcher dies, and kills what the job leaves behind when it ends."""
    launcher = multiprocessing.parent_process()
    job = os.getpid()
    if os.fork():
        return
    try:
        assert launcher is not None  # multiprocessing started this job
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while os.getppid() == job and not wait([launcher.sentinel], 1.0):
            pass
        with contextlib.suppress(ProcessLookupError):
            if os.getppid() == job:
                os.kill(job, signal.SIGTERM)
            end = time.monotonic() + GRACE
            while os.getppid() == job and time.monotonic() < end:
                time.sleep(0.1)
            os.killpg(job, signal.SIGKILL)
    finally:
        os._exit(0)


def _redirect(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for source, place in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, place)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # those of a real process


def _limit_threads(threads: int) -> None:
    """Set torch's threads directly: torch was imported before the number was known, too late for the variables."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)

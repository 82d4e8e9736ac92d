"""Identify the process that a run belongs to, and check whether it is alive."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tunesmith.run.record.schema import Process

if os.name == "posix":
    import fcntl


def identity(pid: int | None = None) -> Process:
    """Return number, host and start of a process of this host; ``None`` for the current one."""
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "host": platform.node(), "began": _began(pid)}


def elsewhere(process: Mapping[str, object]) -> bool:
    """Return whether a process belongs to another host, where it cannot be checked."""
    return process.get("host") != platform.node()


def alive(process: Mapping[str, object]) -> bool:
    """Return whether a recorded process of this host is still running."""
    pid = process.get("pid")
    if elsewhere(process) or not isinstance(pid, int):
        return False
    began = _began(pid)
    return began is not None and began == process.get("began")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file for one process at a time; some network file systems ignore the lock."""
    with path.open("a") as file:
        if os.name == "posix":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _began(pid: int) -> str | None:
    """Return when a process started, as the system writes it; ``None`` if there is no such process."""
    stat, boot = Path(f"/proc/{pid}/stat"), Path("/proc/sys/kernel/random/boot_id")
    if boot.is_file():
        try:
            # The state follows the name in parentheses, which may contain anything; the start comes 19 fields later.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        # A zombie counts as dead.
        return None if fields[0] in "ZX" else f"{boot.read_text().strip()} {fields[19]}"
    done = subprocess.run(["ps", "-p", str(pid), "-o", "lstart="], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None

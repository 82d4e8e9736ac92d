"""Which process a run belongs to, and whether it still lives."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if os.name == "posix":
    import fcntl


def identity(pid: int | None = None) -> dict[str, Any]:
    """A process of this host, or this one: its number, host and start; a number is used again, with its start never."""
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "host": platform.node(), "began": _began(pid)}


def elsewhere(process: Mapping[str, Any]) -> bool:
    """Whether a process belongs to another host, so that nothing can be said about it from here."""
    return bool(process.get("host") != platform.node())


def alive(process: Mapping[str, Any]) -> bool:
    """Whether a recorded process of this host still runs."""
    pid = process.get("pid")
    if elsewhere(process) or not isinstance(pid, int):
        return False
    began = _began(pid)
    return began is not None and began == process.get("began")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let in one process at a time; some network file systems let in more."""
    with path.open("a") as file:
        if os.name == "posix":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _began(pid: int) -> str | None:
    """When a process began, in whatever words the system has for it; ``None`` where there is no such process."""
    stat, boot = Path(f"/proc/{pid}/stat"), Path("/proc/sys/kernel/random/boot_id")
    if boot.is_file():
        try:
            # The name, in parentheses, may hold anything; the state follows it, and the start 19 fields later.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        # What was killed and not yet waited for is no more.
        return None if fields[0] in "ZX" else f"{boot.read_text().strip()} {fields[19]}"
    done = subprocess.run(["ps", "-p", str(pid), "-o", "lstart="], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None

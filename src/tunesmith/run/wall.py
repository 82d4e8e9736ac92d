"""Let the operating system hold a command to the folders that it may write to: a second wall behind our own checks.

Linux has Landlock for that, from 5.13 on where it is switched on: a process gives up rights, for itself and for all
that it starts, and never gets them back. It is raised only in a process started for one command on a recorded run.
Elsewhere there is only the first wall (`tunesmith.config.confine`).

Rights and structures: https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_cache_path

CREATE, ADD, RESTRICT = 444, 445, 446
"""Numbers of the system calls, the same on every architecture."""

FILE = (1 << 1) | (1 << 14)
"""Writing to a file, and cutting it short."""

FOLDER = FILE | sum(1 << bit for bit in range(4, 14))
"""That, and removing, making, linking and renaming files and folders below."""

NEEDS = {13: 2, 14: 3}
"""Which version of Landlock brought a right."""

ALWAYS = ("/dev", "/proc")
"""What libraries write to whatever the command: accelerators, shared memory, names of threads."""


def raise_wall(writable: Iterable[Path]) -> bool:
    """Let this process, and those that it starts, write below some folders only.

    Args:
        writable: Folders, or files; those that are not there are passed over. Temporary files, users' caches and
            devices are always allowed.

    Returns:
        Whether the wall stands; it does not where the system has no Landlock.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE, None, 0, 1)
    if version < 1:
        return False
    there = sum(1 << bit for bit in range(15) if FOLDER >> bit & 1 and version >= NEEDS.get(bit, 1))
    handled = ctypes.c_uint64(there)
    rules = libc.syscall(CREATE, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if rules < 0:
        return False
    try:
        caches = [user_cache_path(), *(Path(os.environ[n]) for n in ("HF_HOME", "TORCH_HOME") if n in os.environ)]
        for place in (*writable, Path(tempfile.gettempdir()), *caches, *map(Path, ALWAYS)):
            _allow(libc, rules, place, there)
        no_new_privileges = 38
        return bool(libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0 and libc.syscall(RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _allow(libc: ctypes.CDLL, rules: int, place: Path, there: int) -> None:
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = FOLDER if stat.S_ISDIR(os.fstat(handle).st_mode) else FILE
        rule = _Beneath(rights & there, handle)
        libc.syscall(ADD, rules, 1, ctypes.byref(rule), 0)
    finally:
        os.close(handle)

"""Slots: which share of this machine's processors and GPUs each of the jobs has that run at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import ConfigError


@dataclass(frozen=True)
class Slot:
    """A share of the machine.

    Attributes:
        name: For tables.
        threads: Threads for computing.
        gpus: The GPUs that the job sees, as ``CUDA_VISIBLE_DEVICES`` names them; ``None`` where none are shared.
    """

    name: str
    threads: int
    gpus: tuple[str, ...] | None

    def env(self) -> dict[str, str]:
        """The variables that hold a job to its share."""
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        return threads if self.gpus is None else {**threads, "CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}


def check_slots(slots: Any) -> None:
    """Refuse what is no number of slots, whichever executor has them.

    Raises:
        ConfigError: It is neither ``auto`` nor a whole number of at least 1.
    """
    if slots != "auto" and not (isinstance(slots, int) and not isinstance(slots, bool) and slots >= 1):
        raise ConfigError(f"Expected sweep.slots to be auto or a whole number of at least 1 but got {slots}.")


def share(number: int | None, gpus: Sequence[str], devices: int, cores: int) -> list[Slot]:
    """Share a machine.

    Args:
        number: How many slots; ``None``: as many as have GPUs enough for a job, or one where there are no GPUs.
        gpus: The GPUs to share.
        devices: GPUs that a job uses.
        cores: Processor cores to share.

    Returns:
        Slots. With fewer slots than GPUs each has several of them, with more, slots take turns on one.
    """
    count = max(1, len(gpus) // devices) if number is None else number
    each = max(devices, len(gpus) // count)
    slots = []
    for index in range(count):
        own = tuple(dict.fromkeys(gpus[(index * each + i) % len(gpus)] for i in range(each))) if gpus else None
        name = str(index) if own is None else f"{index}: gpu {','.join(own)}"
        slots.append(Slot(name, max(1, cores // count), own))
    return slots


def usable_gpus() -> list[str]:
    """The NVIDIA GPUs of this machine that this process may use, without waking them up."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()


def usable_cores() -> int:
    """The processor cores that this process may use: no more than ``OMP_NUM_THREADS``, where that is set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) else cores

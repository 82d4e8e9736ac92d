"""Divide this machine's CPU cores and GPUs into slots, one per concurrent job."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.errors import ConfigError


@dataclass(frozen=True)
class Slot:
    """A share of the machine.

    Attributes:
        name: Name shown in tables.
        threads: Number of CPU threads for computing.
        gpus: GPUs that the job sees, as in ``CUDA_VISIBLE_DEVICES``; ``None`` if no GPUs are shared out.
    """

    name: str
    threads: int
    gpus: tuple[str, ...] | None

    def env(self) -> dict[str, str]:
        """Return the environment variables that limit a job to its share."""
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        return threads if self.gpus is None else {**threads, "CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}


def check_slots(slots: object) -> None:
    """Check a number of slots, for any executor.

    Raises:
        ConfigError: It is neither ``auto`` nor an integer of at least 1.
    """
    if slots != "auto" and not (isinstance(slots, int) and not isinstance(slots, bool) and slots >= 1):
        raise ConfigError(f"Expected sweep.slots to be auto or a whole number of at least 1 but got {slots}.")


def share(number: int | None, gpus: Sequence[str], devices: int, cores: int) -> list[Slot]:
    """Divide a machine into slots.

    Args:
        number: Number of slots; ``None``: as many as there are GPUs for, or one without GPUs.
        gpus: GPUs to share out.
        devices: GPUs per job.
        cores: CPU cores to share out.

    Returns:
        Slots. With fewer slots than GPUs, each has several GPUs; with more, several slots share one.
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
    """List the NVIDIA GPUs that this process may use, without initialising CUDA."""
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
    """Return the number of CPU cores that this process may use, at most ``OMP_NUM_THREADS`` if that is set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) else cores

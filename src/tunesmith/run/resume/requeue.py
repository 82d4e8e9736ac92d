"""Requeue a SLURM job after the run has saved; never called from a signal handler."""

from __future__ import annotations

import os
import subprocess
import sys

from tunesmith.errors import StoppedError
from tunesmith.run.record.record import is_main

SIGNALS = ("SIGUSR1", "SIGUSR2")
"""Sent by ``sbatch --signal=USR1@120`` before the time limit; SIGTERM ends the job, and SLURM requeues evicted ones."""


def requeue(stopped: StoppedError, resumes: bool) -> bool:
    """Requeue this process's SLURM job if it was stopped by one of `SIGNALS`.

    Args:
        stopped: The stop that ended the run.
        resumes: Whether the same command line resumes the run; otherwise the job would restart forever.

    Returns:
        Whether SLURM requeued it.
    """
    job = _job()
    if job is None or stopped.signal not in SIGNALS or not is_main():
        return False
    if not resumes:
        return _say(f"SLURM job {job} is not requeued; with resume=auto it would be, and would resume the run.")
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _say(f"Expected SLURM to requeue job {job} but got: {error}.")
    if done.returncode:
        return _say(f"Expected SLURM to requeue job {job} but got: {done.stderr.strip() or done.returncode}.")
    _say(f"Requeued SLURM job {job}.")
    return True


def _job() -> str | None:
    """Return the job id for ``scontrol``; ``None`` outside SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def _say(sentence: str) -> bool:
    sys.stderr.write(f"tunesmith: {sentence}\n")
    return False

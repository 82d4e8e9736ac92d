"""Ask SLURM to put a job back into its queue, once the run has saved; never from within a signal's handler."""

from __future__ import annotations

import os
import subprocess
import sys

from tunesmith.errors import StoppedError
from tunesmith.run.record.record import is_main

SIGNALS = ("SIGUSR1", "SIGUSR2")
"""What ``sbatch --signal=USR1@120`` sends before the time limit.

SIGTERM means an end: SLURM itself puts back a job that it evicts.
"""


def requeue(stopped: StoppedError, resumes: bool) -> bool:
    """Put this process's SLURM job back into the queue, if it was told to stop for that.

    Args:
        stopped: What ended the run.
        resumes: Whether the same command line goes on with the run; else the job would begin again for ever.

    Returns:
        Whether SLURM took it.
    """
    job = _job()
    if job is None or stopped.signal not in SIGNALS or not is_main():
        return False
    if not resumes:
        return _say(f"SLURM job {job} is not put back into the queue: with resume=auto it would be, and would go on.")
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _say(f"Expected SLURM to take job {job} back but got: {error}.")
    if done.returncode:
        return _say(f"Expected SLURM to take job {job} back but got: {done.stderr.strip() or done.returncode}.")
    _say(f"SLURM job {job} is back in the queue.")
    return True


def _job() -> str | None:
    """The number of the job, as ``scontrol`` takes it; ``None`` outside of SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def _say(sentence: str) -> bool:
    sys.stderr.write(f"tunesmith: {sentence}\n")
    return False

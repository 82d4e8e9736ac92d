"""Run jobs in a Slurm queue through submitit; a preempted or timed-out job continues on another node."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

from tunesmith.config.check import present
from tunesmith.errors import MissingExtraError
from tunesmith.sweep.executor.remote import Remote, prepare
from tunesmith.sweep.protocol import Executor, Handle, Work


class Slurm(Executor):
    """Submits each job to Slurm.

    Args:
        folder: Folder of the sweep; submitit's own files go to ``submitit/`` in it.
        slots: Number of jobs in the queue at once; ``auto``: 16.
        cluster: ``slurm``; ``local`` runs the same on this machine, to try it out.
        minutes: Time limit per job; when it is reached, the job continues in another, up to ``restarts`` times.
        restarts: How often a job may be continued that way.
        cpus: CPU cores per job.
        gpus: GPUs per job.
        memory_gb: Memory per job in gigabytes; ``None`` for the cluster's default.
        options: Further options of submitit, such as ``slurm_partition``.

    Raises:
        MissingExtraError: submitit is not installed.
    """

    def __init__(
        self,
        folder: Path,
        slots: int | Literal["auto"],
        cluster: Literal["slurm", "local"] = "slurm",
        minutes: int = 240,
        restarts: int = 10,
        cpus: int = 4,
        gpus: int = 0,
        memory_gb: float | None = None,
        options: dict[str, object] | None = None,
    ) -> None:
        try:
            submitit = importlib.import_module("submitit")
        except ImportError:
            raise MissingExtraError("submitit", "slurm") from None
        prefix = f"{cluster}_max_num_timeout"
        self._queue = submitit.AutoExecutor(folder=folder / "submitit" / "%j", cluster=cluster, **{prefix: restarts})
        self._queue.update_parameters(
            timeout_min=minutes,
            cpus_per_task=cpus,
            gpus_per_node=gpus,
            mem_gb=memory_gb,
            nodes=1,
            tasks_per_node=1,  # Lightning starts the other processes of a distributed run
            **(options or {}),
        )
        self._cpus = cpus
        self.slots = 16 if slots == "auto" else slots

    def start(self, work: Work) -> Handle:
        """Submit a job."""
        self._queue.update_parameters(name=f"tunesmith-{work.name}")
        remote = prepare(work, self._cpus)
        with present.elsewhere():
            return _Queued(self._queue.submit(remote), remote)


class _Queued(Handle):
    def __init__(self, job: Any, remote: Remote) -> None:
        self._job, self._remote = job, remote
        self.slot = str(job.job_id)

    def poll(self) -> int | None:
        if not self._job.done():
            return None
        try:
            return int(self._job.result())
        except Exception as error:  # submitit raises many kinds; one line is enough to say what ended the job
            self._job.cancel(check=False)  # the queue might restart it after a node failure
            return self._remote.lost(f"slurm job {self.slot} {self._job.state.lower()}: {type(error).__name__}")

    def begun(self) -> bool:
        return self._remote.has_begun()

    def stop(self, hard: bool = False) -> None:
        self._remote.ask_to_end(hard)
        if hard or self._job.state == "PENDING":
            self._job.cancel(check=False)

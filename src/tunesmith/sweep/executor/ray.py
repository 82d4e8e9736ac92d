"""Run jobs as Ray tasks, on this machine or on a cluster that shares the file system."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Literal

from tunesmith.config.check import present
from tunesmith.errors import MissingExtraError
from tunesmith.sweep.executor.remote import Remote, prepare
from tunesmith.sweep.protocol import Executor, Handle, Work


class Ray(Executor):
    """Runs each job as a Ray task that reserves its CPU cores and GPUs.

    Args:
        slots: Number of jobs at once; ``auto``: as many as the cluster has resources for.
        cpus: CPU cores per job.
        gpus: GPUs per job; a fraction lets several jobs share one.
        address: Address of a cluster, such as ``auto``; ``None`` starts Ray on this machine for the sweep's duration.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self, slots: int | Literal["auto"], cpus: int = 1, gpus: float = 0, address: str | None = None
    ) -> None:
        try:
            self._ray = importlib.import_module("ray")
        except ImportError:
            raise MissingExtraError("ray", "ray") from None
        self._mine = not self._ray.is_initialized()
        if self._mine:
            # Without an address Ray would join a cluster that already runs on this machine.
            with present.elsewhere():
                self._ray.init(
                    address=address or "local", include_dashboard=False, log_to_driver=False, configure_logging=False
                )
        self._cpus, self._gpus = cpus, gpus
        self.slots = self._room() if slots == "auto" else slots

    def _room(self) -> int:
        there = self._ray.cluster_resources()
        rooms = [there.get("CPU", 0) // self._cpus] if self._cpus else []
        rooms += [there.get("GPU", 0) // self._gpus] if self._gpus else []
        return max(1, int(min(rooms, default=1)))

    def start(self, work: Work) -> Handle:
        """Submit a task."""
        task = self._ray.remote(_call).options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_retries=0, name=f"tunesmith {work.name}"
        )
        remote = prepare(work, self._cpus)
        return _Task(self._ray, task.remote(remote), remote)

    def close(self) -> None:
        """Shut down Ray if it was started here."""
        if self._mine:
            self._ray.shutdown()


def _call(job: Remote) -> int:
    return job()


class _Task(Handle):
    slot = "ray"

    def __init__(self, ray: ModuleType, reference: object, remote: Remote) -> None:
        self._ray, self._reference, self._remote = ray, reference, remote

    def poll(self) -> int | None:
        done, _ = self._ray.wait([self._reference], timeout=0)
        if not done:
            return None
        try:
            return int(self._ray.get(self._reference))
        except self._ray.exceptions.RayError as error:
            return self._remote.lost(f"{type(error).__name__}: the worker of Ray was lost")

    def begun(self) -> bool:
        return self._remote.has_begun()

    def stop(self, hard: bool = False) -> None:
        self._remote.ask_to_end(hard)
        if hard:
            self._ray.cancel(self._reference)  # takes effect if the task has not begun

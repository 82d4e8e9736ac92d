"""Run jobs on this machine, one per slot, forked from a process that has already imported what they need."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from omegaconf import DictConfig, OmegaConf

from tunesmith.config import gate
from tunesmith.config.check import present
from tunesmith.config.known import known
from tunesmith.errors import ConfigError
from tunesmith.sweep.executor import process, warm
from tunesmith.sweep.executor.slots import Slot, share, usable_cores, usable_gpus
from tunesmith.sweep.protocol import Executor, Handle, Work

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext, ForkServerContext
    from multiprocessing.process import BaseProcess

CONTEXT: ForkContext | ForkServerContext = multiprocessing.get_context("forkserver")
"""How processes start; a caller that has imported everything and computed nothing may set plain fork instead."""

PRELOAD = (
    *("tunesmith.__main__", "tunesmith.run.train", "tunesmith.data.image.module", "hydra.main", "wandb"),
    *("matplotlib.backends.backend_agg", "pyarrow.parquet", "sklearn.linear_model", "sklearn.model_selection"),
    *("torchvision.transforms.v2", "wandb.sdk.launch"),  # every W&B run imports it in its first second
)
"""Imported for every job. Known classes of its configuration are added; a user's own are not, since they may change."""


class Local(Executor):
    """Runs jobs on this machine.

    Args:
        slots: Number of jobs at once; ``auto``: as many as there are GPUs for, or one on a CPU.
        jobs: Configurations of jobs; each swept option occurs in at least one of them.
        gpus: Whether to use GPUs; ``auto``: if the jobs do.

    Raises:
        ConfigError: A job needs more GPUs than there are.
    """

    def __init__(
        self, slots: int | Literal["auto"], jobs: list[DictConfig], gpus: Literal["auto"] | bool = "auto"
    ) -> None:
        devices, on_gpus = _devices(jobs)
        there = usable_gpus() if (on_gpus if gpus == "auto" else gpus) else []
        if there and devices > len(there):
            raise ConfigError(
                f"Expected trainer.devices to be at most {len(there)}, the number of GPUs, but got {devices}."
            )
        shares = share(None if slots == "auto" else slots, there, devices, usable_cores())
        self.slots = len(shares)
        self._free = shares
        if CONTEXT.get_start_method() == "forkserver":
            _serve(jobs)

    def start(self, work: Work) -> Handle:
        """Start a job in a free slot."""
        slot = self._free.pop(0)
        env = {**process.inherited(), **slot.env(), **work.env}
        arguments = (work.argv, env, str(Path.cwd()), str(work.log), slot.threads)
        job = CONTEXT.Process(target=process.run, args=arguments, name=f"job {work.name}")
        job.start()
        return _Local(job, slot, self._free)


class _Local(Handle):
    def __init__(self, job: BaseProcess, slot: Slot, free: list[Slot]) -> None:
        self.slot = slot.name
        assert job.pid is not None  # it has been started
        self.pid: int = job.pid
        self._job, self._place, self._free = job, slot, free
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and self._job.exitcode is not None:
            self._code = self._job.exitcode
            self._kill_group()  # processes that the job started must not outlive it
            self._free.append(self._place)
        return self._code

    def stop(self, hard: bool = False) -> None:
        if self.poll() is None:
            if hard:
                self._kill_group()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL if hard else signal.SIGTERM)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _serve(jobs: list[DictConfig]) -> None:
    """Start the fork server, which imports what the jobs need in the background."""
    targets = sorted({t for job in jobs for t in gate.targets(OmegaConf.to_container(job)) if t in known()})
    modules = sorted({target.rpartition(".")[0] for target in targets if not target.startswith("tunesmith.sweep.")})
    CONTEXT.set_forkserver_preload([*PRELOAD, *modules, warm.__name__])
    with process.clean_environment({warm.VARIABLE: " ".join(targets)}), present.elsewhere():
        forkserver.ensure_running()


def _devices(jobs: list[DictConfig]) -> tuple[int, bool]:
    """Return the largest number of devices that a job uses, and whether they may be GPUs."""
    trainers = [job.get("trainer") or {} for job in jobs]
    numbers = [t.get("devices") for t in trainers]
    most = max((n for n in numbers if isinstance(n, int) and n > 0), default=1)
    return most, any(t.get("accelerator", "auto") in ("auto", "gpu", "cuda") for t in trainers)

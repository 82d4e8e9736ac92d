"""Explain that memory ran out, and forecast whether a trial will fit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from tunesmith.errors import RunError
from tunesmith.run.assembly import allocator
from tunesmith.run.record.schema import Record

WORDS = "DefaultCPUAllocator: ", "could not create a primitive", "std::bad_alloc", "MPS backend out of memory"
"""Messages of torch and oneDNN without memory; for CUDA devices torch has its own exception."""


def ran_out(error: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in WORDS)


@contextlib.contextmanager
def limited(device: torch.device, share: float) -> Iterator[None]:
    """Limit allocations on a CUDA device to a share of its memory during the block; elsewhere do nothing."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_per_process_memory_fraction(share, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


class Forecast:
    """Forecasts from trials of rising size whether a CPU's memory suffices for the next.

    A CPU's memory must not be exhausted: Linux overcommits and kills the process, and if a limit makes allocations
    fail, oneDNN may crash (seen with torch 2.15). A trial takes a constant plus an amount per sample, measured on Linux
    as the process's peak resident size.

    Args:
        room: Bytes available to a trial.
    """

    def __init__(self, room: float) -> None:
        self.room = room
        self._taken: dict[int, int] = {}

    def allows(self, size: int) -> bool:
        """Return whether a trial that is larger than all before is expected to fit."""
        if not self._taken:
            return True
        last = max(self._taken)
        earlier = max(n for n in self._taken if n < last)
        slope = (self._taken[last] - self._taken[earlier]) / (last - earlier)
        return self._taken[last] + max(0.0, slope) * (size - last) <= self.room

    def run(self, size: int, trial: Callable[[], int]) -> None:
        """Run a trial and record the memory that it adds to the process.

        ``trial`` returns the bytes that do not depend on the size.
        """
        allocator.give_back()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # reset the peak size
        before = _resident("VmRSS")
        constant = trial()
        self._taken[0] = constant
        self._taken[size] = max(0, _resident("VmHWM") - before)


def _resident(what: str) -> int:
    """Return a size from /proc/self/status in bytes; 0 if there is none."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    except OSError:
        return 0
    return int(lines[what].split()[0]) * 1024


@contextlib.contextmanager
def told(cfg: DictConfig, record: Record | None = None) -> Iterator[None]:
    """Explain what to change if a run does not fit into memory.

    Raises:
        RunError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise RunError(_way_out(cfg, (record or {}).get("batch") or {})) from error


def _way_out(cfg: DictConfig, found: Mapping[str, int]) -> str:
    size = OmegaConf.select(cfg, "data.batch_size", default=None)
    micro_batch_size = OmegaConf.select(cfg, "trainer.micro_batch_size", default=None) or size
    if micro_batch_size == "auto" and found.get("batch_size") == size:
        micro_batch_size = found["micro_batch_size"]
    smaller = "a smaller data.batch_size"
    if isinstance(size, int) and isinstance(micro_batch_size, int) and micro_batch_size > 1:
        less = max(n for n in range(1, micro_batch_size) if size % n == 0)
        smaller = f"trainer.micro_batch_size={less}, the same step in micro-batches"
        smaller += "" if micro_batch_size < size else ", or trainer.micro_batch_size=auto, which finds what fits"
    if OmegaConf.select(cfg, "data.in_memory", default=None) is True:
        smaller += "; data.in_memory=auto"
    return (
        f"Expected the run to fit into memory but it ran out at {_shown(size, micro_batch_size)}; use {smaller}; or "
        "trainer.precision=bf16-mixed, a smaller backbone.image_size, or a policy that trains less."
    )


def _shown(size: int | None, micro_batch_size: int | str | None) -> str:
    return f"data.batch_size={size}" + (f" in micro-batches of {micro_batch_size}" if micro_batch_size != size else "")

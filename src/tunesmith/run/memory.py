"""Memory that ran out: what to change, in a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from omegaconf import DictConfig, OmegaConf

from tunesmith.errors import RunError

CPU = "DefaultCPUAllocator: "
"""What torch says where the system gives it no memory; on an accelerator it has an error of its own."""


@contextlib.contextmanager
def told(cfg: DictConfig) -> Iterator[None]:
    """Tell what to change where a run does not fit into memory.

    Args:
        cfg: The run's configuration.

    Raises:
        RunError: It does not.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError) and CPU not in str(error):
            raise
        raise RunError(_way_out(cfg)) from error


def _way_out(cfg: DictConfig) -> str:
    size = OmegaConf.select(cfg, "data.batch_size", default=None)
    pieces = OmegaConf.select(cfg, "trainer.accumulate_grad_batches", default=1)
    smaller = "a smaller data.batch_size"
    if isinstance(size, int) and size > 1:
        smaller = f"data.batch_size={size // 2} trainer.accumulate_grad_batches={2 * pieces}, the same step in pieces"
    if OmegaConf.select(cfg, "data.in_memory", default=None) is True:
        smaller += "; data.in_memory=auto"
    return (
        f"Expected the run to fit into memory but it ran out at data.batch_size={size}; use {smaller}; or "
        "trainer.precision=bf16-mixed, a smaller backbone.image_size, or a policy that trains less."
    )

"""Several processes through a change of what trains.

`DistributedDataParallel` looks at what trains when it wraps the module, and never again: the gradients of a parameter
that thaws later are not exchanged, and ranks end with different weights in silence. So the module is wrapped anew.
Shards (`task/optimization/sharded.py`) have each parameter for itself, and need nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import lightning
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy

from tunesmith.compat.lightning import wrap_anew
from tunesmith.errors import PolicyError
from tunesmith.task.optimization.sharded import Sharded

KNOWN = ("2.6.",)
"""Versions of Lightning whose `DDPStrategy.configure_ddp` may be called again; a test trains two ranks through it."""


def has_whole_tensors(strategy: Strategy) -> bool:
    """Whether checkpoints are made of whole tensors, on every process, so that some can be left out."""
    return isinstance(strategy, SingleDeviceStrategy | Sharded) or type(strategy) is DDPStrategy


def strategy_mistakes(strategy: Strategy | str) -> Iterator[str]:
    """Say so where no policy is known to hold on a strategy: another one than one device, DDP or ours.

    With weights in shards of other kinds than ours (Lightning's FSDP, DeepSpeed) nobody has shown that what is frozen
    keeps its bits, that checkpoints hold what trained, and that a killed run goes on to the same bits.

    Args:
        strategy: The trainer's, or its name before the trainer is built: Lightning has errors of its own for some.
    """
    named = isinstance(strategy, str) and (strategy == "auto" or strategy.startswith("ddp"))
    # DeepSpeed's strategy derives from DDP's, and wraps differently.
    if not named and (isinstance(strategy, str) or not has_whole_tensors(strategy)):
        yield (
            "Expected trainer.strategy to be auto or ddp, on which policies are known to hold, but got "
            f"{strategy if isinstance(strategy, str) else type(strategy).__name__}; use trainer=ddp, or trainer=fsdp, "
            "which has a strategy of its own."
        )


def phases_mistakes(strategy: Strategy, phases: int) -> Iterator[str]:
    """Say so where a strategy cannot take a policy's phases, or is not known to in this version of Lightning.

    Args:
        strategy: The trainer's.
        phases: How many the policy has.
    """
    yield from strategy_mistakes(strategy)
    if phases == 1 or isinstance(strategy, SingleDeviceStrategy | Sharded):
        return
    if not lightning.__version__.startswith(KNOWN):
        yield (
            f"Expected Lightning {' or '.join(KNOWN)}* for a policy with {phases} phases on several devices but got "
            f"{lightning.__version__}, of which it is not known whether ranks stay equal; use trainer.devices=1."
        )


def rewrap(strategy: Strategy, module: LightningModule) -> None:
    """Wrap the module anew where several processes train it; call it on all of them, between two epochs.

    Args:
        strategy: The trainer's.
        module: With the gradients of what trains switched on.

    Raises:
        PolicyError: The strategy cannot take it, as `phases_mistakes` says.
    """
    mistakes = list(phases_mistakes(strategy, phases=2))
    if mistakes:
        raise PolicyError("\n".join(mistakes))
    if isinstance(strategy, DDPStrategy):
        wrap_anew(strategy, module)

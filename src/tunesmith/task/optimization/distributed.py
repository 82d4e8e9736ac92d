"""Wrap the module again when what trains changes during distributed training.

`DistributedDataParallel` reads what trains only when it wraps the module: gradients of a parameter that thaws later are
not exchanged, and ranks silently end with different weights. Shards (`task/optimization/sharded.py`) treat each
parameter separately, and need nothing.
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
    """Return whether every process has whole tensors when saving, so that some can be left out."""
    return isinstance(strategy, SingleDeviceStrategy | Sharded) or type(strategy) is DDPStrategy


def strategy_mistakes(strategy: Strategy | str) -> Iterator[str]:
    """Report a strategy other than one device, DDP or `Sharded`.

    With other kinds of shards (Lightning's FSDP, DeepSpeed) it is untested whether frozen tensors keep their bits,
    checkpoints contain what trained, and a killed run resumes to the same bits.

    Args:
        strategy: The trainer's strategy, or its name before the trainer is built.
    """
    named = isinstance(strategy, str) and (strategy == "auto" or strategy.startswith("ddp"))
    # DeepSpeed's strategy derives from DDP's but wraps differently.
    if not named and (isinstance(strategy, str) or not has_whole_tensors(strategy)):
        yield (
            "Expected trainer.strategy to be auto or ddp, on which policies are tested, but got "
            f"{strategy if isinstance(strategy, str) else type(strategy).__name__}; use trainer=ddp, or trainer=fsdp, "
            "which has its own strategy."
        )


def phases_mistakes(strategy: Strategy, phases: int) -> Iterator[str]:
    """Report a strategy that does not support a policy's phases, or is untested in this version of Lightning.

    Args:
        strategy: The trainer's strategy.
        phases: Number of the policy's phases.
    """
    yield from strategy_mistakes(strategy)
    if phases == 1 or isinstance(strategy, SingleDeviceStrategy | Sharded):
        return
    if not lightning.__version__.startswith(KNOWN):
        yield (
            f"Expected Lightning {' or '.join(KNOWN)}* for a policy with {phases} phases on several devices but got "
            f"{lightning.__version__}, which has not been tested; use trainer.devices=1."
        )


def rewrap(strategy: Strategy, module: LightningModule) -> None:
    """Wrap the module again if several processes train it; call it on all of them, between two epochs.

    Args:
        strategy: The trainer's strategy.
        module: The module, with ``requires_grad`` set for what trains.

    Raises:
        PolicyError: The strategy does not support it; see `phases_mistakes`.
    """
    mistakes = list(phases_mistakes(strategy, phases=2))
    if mistakes:
        raise PolicyError("\n".join(mistakes))
    if isinstance(strategy, DDPStrategy):
        wrap_anew(strategy, module)

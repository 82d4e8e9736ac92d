"""Use what torch does not document."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from tunesmith.compat.required import imported, require

with imported("torch"):
    from torch.utils._pytree import tree_map

require("torch", torch, "_foreach_lerp_")
require("torch", Tensor, "_is_view")
require("torch", nn.modules.batchnorm, "_NormBase")
require("torch", nn.Module(), "_forward_hooks", "_forward_pre_hooks", "_state_dict_pre_hooks")
for _kind in (Adam, SGD):
    require("torch", _kind, "_step_supports_amp_scaling")

T = TypeVar("T")

BATCH_NORM: type[nn.Module] = nn.modules.batchnorm._NormBase
"""Base class of all batch and instance normalisations."""


def lerp(starts: list[Tensor], ends: list[Tensor], share: float) -> None:
    """Interpolate tensors in place with one kernel: ``start += share * (end - start)``."""
    torch._foreach_lerp_(starts, ends, share)


def without_views(output: T) -> T:
    """Clone the views in a module's nested outputs; leave other tensors as they are."""
    copied: T = tree_map(lambda t: t.clone() if isinstance(t, Tensor) and t._is_view() else t, output)
    return copied


def hooks(module: nn.Module) -> dict[str, object]:
    """Copy a module's hooks of all kinds; restore them with ``vars(module).update(…)``."""
    return {name: value.copy() for name, value in vars(module).items() if "hooks" in name and value is not None}


def let_trainer_unscale(optimizer: Optimizer) -> None:
    """Let the trainer unscale gradients before the step, even if a fused kernel could do it.

    Lightning (2.6) refuses to clip gradients that are only unscaled during the step.

    Raises:
        LibraryError: A fused optimizer's unscaling flag has another name in this version.
    """
    if optimizer.defaults.get("fused"):
        require("torch", optimizer, "_step_supports_amp_scaling")
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]  # of fused optimizers alone

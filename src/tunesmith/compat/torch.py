"""What tunesmith uses of torch beyond its documentation."""

from __future__ import annotations

from typing import Any

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

BATCH_NORM: type[nn.Module] = nn.modules.batchnorm._NormBase
"""What all batch and instance normalisations derive from."""


def lerp(starts: list[Tensor], ends: list[Tensor], share: float) -> None:
    """Move tensors toward others in place, by one kernel for all: ``start += share * (end - start)``."""
    torch._foreach_lerp_(starts, ends, share)


def without_views(output: Any) -> Any:
    """Copy the views among a module's outputs, however these are nested; other tensors stay as they are."""
    return tree_map(lambda t: t.clone() if isinstance(t, Tensor) and t._is_view() else t, output)


def hooks(module: nn.Module) -> dict[str, Any]:
    """Copy a module's hooks of all kinds; ``vars(module).update(…)`` puts them back."""
    return {name: value.copy() for name, value in vars(module).items() if "hooks" in name and value is not None}


def let_trainer_unscale(optimizer: Optimizer) -> None:
    """Have gradients under a loss scale unscaled before the step, also where a fused kernel could do so in it.

    Lightning (2.6) would refuse to clip gradients that are unscaled in the step only.

    Raises:
        LibraryError: A fused optimizer does not say by the name that we know that it unscales.
    """
    if optimizer.defaults.get("fused"):
        require("torch", optimizer, "_step_supports_amp_scaling")
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]  # of fused optimizers alone

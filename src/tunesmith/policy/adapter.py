"""Add small trainable layers beside frozen ones: the base class of all adapters."""

from __future__ import annotations

import re
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from torch import nn

from tunesmith.compat.required import assign
from tunesmith.contract.features import Stage
from tunesmith.contract.parameters import HEAD, Parameter, Phase
from tunesmith.contract.policy import Policy
from tunesmith.contract.protocols import Backbone
from tunesmith.errors import MissingExtraError, PolicyError

if TYPE_CHECKING:
    from peft import PeftConfig

_ADAPTER = re.compile(r"\.(lora|ia3)_\w+(\.|$)")
"""Matches the names of parameters that `peft` adds."""


class Adapter(Policy):
    """Trains the head and adapters; the backbone's own weights stay frozen.

    Every linear layer and every convolution of the chosen stages gets an adapter. Two kinds are skipped: grouped
    convolutions, where an adapter has no fewer weights than the layer, and layers whose weights are read directly
    rather than through a forward call, as attention does in torch and in some models of torchvision and timm; an
    adapter there would train without effect. At initialisation, adapters do not change the backbone's outputs.

    Args:
        stages: Number of stages to adapt, from the deepest; ``None`` for all.

    Attributes:
        contiguous: Whether `peft` (0.21) only supports weights in NCHW memory order.

    Raises:
        PolicyError: The number is below 1.
    """

    adapts = True

    def __init__(self, stages: int | None) -> None:
        if stages is not None and stages < 1:
            raise PolicyError(f"Expected policy.stages to be at least 1 or null but got {stages}.")
        self.stages = stages

    @abstractmethod
    def config(self, targets: str) -> PeftConfig:
        """Return the configuration for `peft`.

        Args:
            targets: A regular expression for the full names of the modules.
        """

    def adapt(self, backbone: Backbone) -> None:
        """Insert adapters into a backbone; its own parameters keep their bits and get ``base_layer`` in their names.

        Raises:
            MissingExtraError: peft is not installed.
            PolicyError: There are fewer stages than asked for, or they have nothing to adapt.
        """
        count = len(backbone.stages) if self.stages is None else self.stages
        if count > len(backbone.stages):
            raise PolicyError(
                f"Expected policy.stages to be at most {len(backbone.stages)}, the backbone's stages, but got {count}."
            )
        chosen = backbone.stages[len(backbone.stages) - count :]
        called = backbone.called()
        names = [name for stage in chosen for name in _targets(backbone, stage) if name in called]
        if not names:
            shown = ", ".join(stage.name for stage in chosen)
            raise PolicyError(
                f"Expected a linear layer or an ungrouped convolution in the stages {shown} but got none: choose more."
            )
        try:
            from peft import inject_adapter_in_model
        except ImportError as error:
            raise MissingExtraError("peft", "peft") from error
        # One expression: in a list, a name would also match every module whose name ends with it.
        config = self.config("|".join(map(re.escape, names)))
        if all(_transposed(backbone.net.get_submodule(name)) for name in names):
            assign("peft", config, "fan_in_fan_out", True)
        inject_adapter_in_model(config, backbone.net)

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Return one phase: the head and all adapters.

        Args:
            parameters: All parameters of head and adapted backbone.
        """
        trains = frozenset(p.name for p in parameters if p.stage == HEAD or _ADAPTER.search(p.name))
        return [Phase(0, trains)]


def merge(net: nn.Module) -> int:
    """Merge all adapters into their layers, and put the plain layers back in place.

    Args:
        net: An adapted network; without adapters nothing happens.

    Returns:
        Number of merged layers.
    """
    if "peft" not in sys.modules:  # which would have put them in
        return 0
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, layer) for name, layer in net.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge()
        owner, _, leaf = name.rpartition(".")
        setattr(net.get_submodule(owner), leaf, layer.get_base_layer())
    return len(adapted)


def _targets(backbone: Backbone, stage: Stage) -> Iterator[str]:
    for prefix, member in backbone.members(stage).items():
        for name, module in member.named_modules(prefix=prefix) if isinstance(member, nn.Module) else ():
            if (
                isinstance(module, nn.Linear)
                or _transposed(module)
                or (isinstance(module, nn.Conv2d) and module.groups == 1)
            ):
                yield name


def _transposed(module: nn.Module) -> bool:
    """Return whether a module is GPT-2's linear layer, named Conv1D, whose weight has shape (in, out)."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"

"""Small trainable layers beside frozen ones: what all adapters share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from tunesmith.compat.required import assign
from tunesmith.contract.features import Stage
from tunesmith.contract.parameters import HEAD, Parameter, Phase
from tunesmith.contract.protocols import Backbone
from tunesmith.errors import MissingExtraError, PolicyError

_ADAPTER = re.compile(r"\.(lora|ia3)_\w+(\.|$)")
"""In the names of parameters that `peft` adds."""


class Adapter(ABC):
    """The head and adapters train; the backbone's own weights stay as they are.

    Adapters go to every linear layer and every convolution of the chosen stages. Left out are convolutions in groups,
    where an adapter has no fewer weights than the layer, and layers whose weights are read past them, as attention does
    in torch and in some models of torchvision and timm: an adapter there would train and change nothing. At first
    adapters change nothing: the outputs are those of the backbone alone.

    Args:
        stages: To how many stages, from the deepest; ``None`` for all.

    Attributes:
        contiguous: Whether `peft` (0.21) can only do with weights in NCHW memory order.

    Raises:
        PolicyError: The number is below 1.
    """

    contiguous = False

    def __init__(self, stages: int | None) -> None:
        if stages is not None and stages < 1:
            raise PolicyError(f"Expected policy.stages to be at least 1 or null but got {stages}.")
        self.stages = stages

    @abstractmethod
    def config(self, targets: str) -> Any:
        """Give the configuration for `peft`.

        Args:
            targets: A regular expression for the full names of the modules.
        """

    def adapt(self, backbone: Backbone) -> None:
        """Put adapters into a backbone, whose other parameters keep their bits and get names with ``base_layer``.

        Raises:
            MissingExtraError: The library is not installed.
            PolicyError: There are fewer stages than asked for, or nothing in them to adapt.
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
        # As one expression, since a list of names would also mean every module whose name ends so.
        config = self.config("|".join(map(re.escape, names)))
        if all(_transposed(backbone.net.get_submodule(name)) for name in names):
            assign("peft", config, "fan_in_fan_out", True)
        inject_adapter_in_model(config, backbone.net)

    def plan(self, parameters: Sequence[Parameter]) -> list[Phase]:
        """Lay out one phase: the head and all adapters.

        Args:
            parameters: All parameters of head and adapted backbone.
        """
        trains = frozenset(p.name for p in parameters if p.stage == HEAD or _ADAPTER.search(p.name))
        return [Phase(0, trains)]


def merge(net: nn.Module) -> int:
    """Add all adapters into the layers that they stand beside, which take their places again.

    Args:
        net: An adapted network; without adapters nothing happens.

    Returns:
        The number of layers that were merged.
    """
    adapted = [(name, module) for name, module in net.named_modules() if hasattr(module, "get_base_layer")]
    for name, module in adapted:
        layer: Any = module
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
    """Whether it is the linear layer of GPT-2, whose weight is (in, out) and whose class is called a convolution."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"

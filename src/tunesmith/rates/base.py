"""What all rates share: one rate for every parameter, and what weight decay leaves out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tunesmith.parameters import HEAD, Parameter, Rate


class Rates(ABC):
    """How fast each parameter trains, whatever the policy.

    Args:
        decay_norm_and_bias: Decay norms, biases and other parameters of at most one dimension too. To decay them
            means to pull scales and offsets to zero, which costs accuracy (He et al. 2019, bag of tricks).
    """

    def __init__(self, decay_norm_and_bias: bool = False) -> None:
        self.decay_norm_and_bias = decay_norm_and_bias

    @abstractmethod
    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Give the factor on the learning rate.

        Args:
            parameter: The parameter.
            depth_of_head: Number of the backbone's stages, which is the depth that the head's parameters have.
        """

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Give every parameter its rate, keyed by full name.

        Args:
            parameters: All parameters of backbone and head.
        """
        depth_of_head = max((p.depth if p.stage == HEAD else p.depth + 1 for p in parameters), default=0)
        return {p.name: Rate(self.multiplier(p, depth_of_head), self._decay(p)) for p in parameters}

    def _decay(self, parameter: Parameter) -> float:
        exempt = parameter.norm or parameter.bias or parameter.ndim <= 1
        return 0.0 if exempt and not self.decay_norm_and_bias else 1.0

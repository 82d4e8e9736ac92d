"""Assign a learning rate and a weight decay to every parameter: the base class of all rates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from tunesmith.contract.parameters import HEAD, Parameter, Rate
from tunesmith.errors import PolicyError


class Rates(ABC):
    """Sets how fast each parameter trains, whatever the policy.

    Args:
        decay_norm_and_bias: Also decay norms, biases, position embeddings, tokens, scales and all other parameters of
            at most one dimension. Decay pulls scales and offsets to zero, which costs accuracy (He et al. 2019, "Bag
            of tricks").
        thaw_warmup: Epochs over which the rate of a newly unfrozen parameter rises from zero to the schedule's.

    Raises:
        PolicyError: The warm-up is below 0.
    """

    def __init__(self, decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0) -> None:
        if not 0 <= thaw_warmup < math.inf:
            raise PolicyError(f"Expected rates.thaw_warmup to be at least 0 epochs but got {thaw_warmup}.")
        self.decay_norm_and_bias = decay_norm_and_bias
        self.thaw_warmup = float(thaw_warmup)

    @abstractmethod
    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Return the factor on the learning rate.

        Args:
            parameter: The parameter.
            depth_of_head: Number of the backbone's stages, which is the depth of the head's parameters.
        """

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Return the rate of every parameter by full name.

        Args:
            parameters: All parameters of backbone and head.
        """
        depth_of_head = max((p.depth if p.stage == HEAD else p.depth + 1 for p in parameters), default=0)
        return {
            p.name: Rate(self.multiplier(p, depth_of_head), self.decay_of(p), warmup=self.thaw_warmup)
            for p in parameters
        }

    def decay_of(self, parameter: Parameter) -> float:
        """Return the factor on the weight decay."""
        exempt = parameter.norm or parameter.bias or parameter.embedding or parameter.ndim <= 1
        return 0.0 if exempt and not self.decay_norm_and_bias else 1.0

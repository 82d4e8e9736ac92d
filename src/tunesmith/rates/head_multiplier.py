"""A faster head."""

from __future__ import annotations

import math

from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.errors import PolicyError
from tunesmith.rates.base import Rates


class HeadMultiplier(Rates):
    """The head trains at a multiple of the backbone's learning rate, which is the optimizer's.

    Args:
        multiplier: How many times faster the head learns; above 0.
        decay_norm_and_bias: Decay norms, biases and other parameters of at most one dimension too.
        thaw_warmup: Epochs over which a parameter that thaws rises to the schedule's present rate.

    Raises:
        PolicyError: The multiplier is not a finite number above 0.
    """

    def __init__(self, multiplier: float = 10.0, decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0) -> None:
        super().__init__(decay_norm_and_bias, thaw_warmup)
        if not (math.isfinite(multiplier) and multiplier > 0):
            raise PolicyError(f"Expected rates.multiplier to be a finite number above 0 but got {multiplier}.")
        self.head = float(multiplier)

    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Give the head's parameters the multiple and all others 1."""
        return self.head if parameter.stage == HEAD else 1.0

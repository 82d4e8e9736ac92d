"""Train the head faster than the backbone."""

from __future__ import annotations

import math

from tunesmith.contract.parameters import HEAD, Parameter
from tunesmith.errors import PolicyError
from tunesmith.rates.base import Rates


class HeadMultiplier(Rates):
    """Trains the head at a multiple of the backbone's learning rate, which is the optimizer's.

    Args:
        multiplier: Factor on the head's learning rate, above 0.
        decay_norm_and_bias: Also decay norms, biases and other parameters of at most one dimension.
        thaw_warmup: Epochs over which the rate of a newly unfrozen parameter rises from zero to the schedule's.

    Raises:
        PolicyError: The multiplier is not a finite number above 0.
    """

    def __init__(self, multiplier: float = 10.0, decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0) -> None:
        super().__init__(decay_norm_and_bias, thaw_warmup)
        if not (math.isfinite(multiplier) and multiplier > 0):
            raise PolicyError(f"Expected rates.multiplier to be a finite number above 0 but got {multiplier}.")
        self.head = float(multiplier)

    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Return the multiplier for the head's parameters, 1 for all others."""
        return self.head if parameter.stage == HEAD else 1.0

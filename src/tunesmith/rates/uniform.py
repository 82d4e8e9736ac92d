"""Train every parameter at one rate."""

from __future__ import annotations

from tunesmith.contract.parameters import Parameter
from tunesmith.rates.base import Rates


class Uniform(Rates):
    """Trains every parameter at the optimizer's own learning rate.

    Args:
        decay_norm_and_bias: Also decay norms, biases and other parameters of at most one dimension.
        thaw_warmup: Epochs over which the rate of a newly unfrozen parameter rises from zero to the schedule's.
    """

    def __init__(self, decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0) -> None:
        super().__init__(decay_norm_and_bias, thaw_warmup)

    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Return 1 for every parameter."""
        return 1.0

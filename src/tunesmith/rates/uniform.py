"""One rate for all."""

from __future__ import annotations

from tunesmith.contract.parameters import Parameter
from tunesmith.rates.base import Rates


class Uniform(Rates):
    """Every parameter trains at the optimizer's own learning rate.

    Args:
        decay_norm_and_bias: Decay norms, biases and other parameters of at most one dimension too.
        thaw_warmup: Epochs over which a parameter that thaws rises to the schedule's present rate.
    """

    def __init__(self, decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0) -> None:
        super().__init__(decay_norm_and_bias, thaw_warmup)

    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Give 1, whatever the parameter."""
        return 1.0

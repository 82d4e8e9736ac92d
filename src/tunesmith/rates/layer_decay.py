"""Lower the learning rate stage by stage from the head to the stem."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tunesmith.contract.parameters import Parameter, Rate
from tunesmith.errors import PolicyError
from tunesmith.rates.base import Rates


class LayerDecay(Rates):
    """Trains each stage slower, by one factor, than the next deeper one; the head trains at the optimizer's rate.

    These are the discriminative rates of Howard and Ruder 2018 in the form of Clark et al. 2020 (ELECTRA), per stage:
    with n stages, the one at depth d has the multiplier ``decay ** (n - d)``.

    Args:
        decay: Factor between neighbouring stages, between 0 and 1.
        decay_norm_and_bias: Also apply weight decay to norms, biases and other parameters of at most one dimension.
        thaw_warmup: Epochs over which the rate of a newly unfrozen parameter rises from zero to the schedule's.

    Raises:
        PolicyError: The factor is not between 0 and 1, or is 1, which has no effect.
    """

    def __init__(self, decay: float = 0.8, decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0) -> None:
        super().__init__(decay_norm_and_bias, thaw_warmup)
        if decay == 1:
            raise PolicyError("Expected rates.decay to be below 1 but got 1, which has no effect: use rates=uniform.")
        if not 0 < decay < 1:
            raise PolicyError(f"Expected rates.decay to be between 0 and 1 but got {decay}.")
        self.decay = float(decay)

    def multiplier(self, parameter: Parameter, depth_of_head: int) -> float:
        """Return ``decay`` to the power of the number of stages between the parameter and the head."""
        return float(self.decay ** (depth_of_head - parameter.depth))

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Return the rate of every parameter, after checking that rates rise with depth.

        Args:
            parameters: All parameters of backbone and head.

        Raises:
            PolicyError: All parameters have the same depth, so that the decay has no effect, or two depths have the
                same rate.
        """
        rates = super().plan(parameters)
        by_depth = {p.depth: rates[p.name].multiplier for p in parameters}
        if len(by_depth) < 2:
            raise PolicyError("Expected parameters of several depths for rates.decay but got one, so it has no effect.")
        if any(by_depth[a] >= by_depth[b] for a, b in pairwise(sorted(by_depth))):
            raise PolicyError(f"Expected rates to rise with depth but got {by_depth}: choose a larger rates.decay.")
        return rates

"""Decay the learning rate by depth, and relax that decay during the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.contract.parameters import Parameter, Rate
from tunesmith.errors import PolicyError
from tunesmith.rates.layer_decay import LayerDecay


class Ramp(LayerDecay):
    """Starts with the rates of `LayerDecay`, and relaxes them until every stage has the optimizer's rate.

    After a share s of the relaxation the decay is ``decay ** (1 - s)``, so that neighbouring stages always differ by
    one common factor.

    Args:
        decay: Factor between neighbouring stages at the start, between 0 and 1.
        over: Share of the run over which the decay relaxes, above 0, at most 1.
        decay_norm_and_bias: Also apply weight decay to norms, biases and other parameters of at most one dimension.
        thaw_warmup: Epochs over which the rate of a newly unfrozen parameter rises from zero to the schedule's.

    Raises:
        PolicyError: The factor is not between 0 and 1, or is 1, which has no effect; or the share is out of range.
    """

    def __init__(
        self, decay: float = 0.5, over: float = 0.5, decay_norm_and_bias: bool = False, thaw_warmup: float = 0.0
    ) -> None:
        super().__init__(decay, decay_norm_and_bias, thaw_warmup)
        if not 0 < over <= 1:
            raise PolicyError(f"Expected rates.over to be above 0 and at most 1 but got {over}.")
        self.over = float(over)

    def plan(self, parameters: Sequence[Parameter]) -> dict[str, Rate]:
        """Return the full rate of every parameter, and the share of it with which it starts.

        Args:
            parameters: All parameters of backbone and head.

        Raises:
            PolicyError: See `LayerDecay.plan`.
        """
        plan = super().plan(parameters)
        return {
            name: replace(rate, multiplier=1.0, start=rate.multiplier, ramp=self.over) for name, rate in plan.items()
        }

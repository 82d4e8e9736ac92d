"""A decay by depth that relaxes while the run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.contract.parameters import Parameter, Rate
from tunesmith.errors import PolicyError
from tunesmith.rates.layer_decay import LayerDecay


class Ramp(LayerDecay):
    """Stages begin with the rates of `LayerDecay`, and come to the optimizer's own rate one and all.

    After a share s of the stretch in which it relaxes the decay is ``decay ** (1 - s)``: at every moment it is one
    factor from each stage to the next.

    Args:
        decay: The factor at the start, between 0 and 1.
        over: Share of the run after which it has relaxed, above 0, at most 1.
        decay_norm_and_bias: Weight decay for norms, biases and other parameters of at most one dimension too.
        thaw_warmup: Epochs over which a parameter that thaws rises to the schedule's present rate.

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
        """Give every parameter the whole rate, and the share of it that it begins with.

        Args:
            parameters: All parameters of backbone and head.

        Raises:
            PolicyError: As `LayerDecay.plan` says.
        """
        plan = super().plan(parameters)
        return {
            name: replace(rate, multiplier=1.0, start=rate.multiplier, ramp=self.over) for name, rate in plan.items()
        }

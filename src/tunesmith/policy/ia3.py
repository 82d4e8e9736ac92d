"""Scale activations by trained factors: (IA)³ adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from tunesmith.policy.adapter import Adapter

if TYPE_CHECKING:
    from peft import PeftConfig


@final
class IA3(Adapter):
    """Trains one factor per output of each adapted layer ((IA)³, Liu et al. 2022).

    Args:
        stages: Number of stages to adapt, from the deepest; ``None`` for all.

    Raises:
        PolicyError: The number is below 1.
    """

    def __init__(self, stages: int | None = None) -> None:
        super().__init__(stages)

    def config(self, targets: str) -> PeftConfig:
        """Return the configuration for `peft`."""
        from peft import IA3Config

        return IA3Config(target_modules=targets, feedforward_modules=[])

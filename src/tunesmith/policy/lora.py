"""Add low-rank matrices to frozen layers: LoRA and DoRA adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from tunesmith.errors import PolicyError
from tunesmith.policy.adapter import Adapter

if TYPE_CHECKING:
    from peft import PeftConfig


@final
class LoRA(Adapter):
    """Trains the product of two thin matrices beside each layer (Hu et al. 2022); for convolutions, two convolutions.

    Args:
        rank: Rank of the product, above 0.
        alpha: The product is scaled by alpha / rank.
        dropout: Probability of dropping an input of the product, at least 0 and below 1.
        dora: Train the norm of each output's weights separately from their direction (DoRA, Liu et al. 2024).
        stages: Number of stages to adapt, from the deepest; ``None`` for all.

    Raises:
        PolicyError: A number is out of range.
    """

    def __init__(
        self, rank: int = 8, alpha: int = 16, dropout: float = 0.0, dora: bool = False, stages: int | None = None
    ) -> None:
        super().__init__(stages)
        if rank < 1:
            raise PolicyError(f"Expected policy.rank to be at least 1 but got {rank}.")
        if not alpha > 0:
            raise PolicyError(f"Expected policy.alpha to be above 0 but got {alpha}.")
        if not 0 <= dropout < 1:
            raise PolicyError(f"Expected policy.dropout to be from 0 to below 1 but got {dropout}.")
        self.rank, self.alpha, self.dropout, self.dora = rank, alpha, dropout, dora
        self.contiguous = dora

    def config(self, targets: str) -> PeftConfig:
        """Return the configuration for `peft`."""
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, use_dora=self.dora, target_modules=targets
        )

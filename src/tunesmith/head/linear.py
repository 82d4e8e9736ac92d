"""Map pooled features to outputs with one linear layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs
from tunesmith.errors import ConfigError


class Linear(nn.Module):
    """Dropout and one linear layer on the pooled features.

    The weight starts as normal noise of standard deviation 0.01, the bias as zero: the first outputs are nearly equal,
    so that the first loss is about log K, and the first gradients that reach a pretrained backbone are small.

    Args:
        feature_dim: Width D of the pooled features.
        num_outputs: Outputs K.
        dropout: Probability of dropping a feature, from 0 to below 1.

    Raises:
        ConfigError: The dropout is out of range.
    """

    needs: ClassVar[Needs] = Needs(pooled=True)

    def __init__(self, feature_dim: int, num_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected head.dropout to be from 0 to below 1 but got {dropout}.")
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(feature_dim, num_outputs)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Features) -> Tensor:
        """Map features, ``pooled`` of shape ``(B, D)``, to outputs ``(B, K)``."""
        outputs: Tensor = self.output(self.dropout(features.pooled))
        return outputs

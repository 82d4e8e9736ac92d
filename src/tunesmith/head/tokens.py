"""Map each token to outputs with one linear layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs, OutputPer
from tunesmith.errors import ConfigError


class Tokens(nn.Module):
    """Dropout and one linear layer on each token, as in BERT (Devlin et al., 2019).

    The weight is initialised with normal noise of standard deviation 0.02, as in BERT, the bias with zero.

    Args:
        feature_dim: Width D of the tokens.
        num_outputs: Outputs K per token.
        dropout: Probability of dropping a feature, from 0 to below 1.

    Raises:
        ConfigError: The dropout is out of range.
    """

    needs: ClassVar[Needs] = Needs(tokens=True)
    output_per: ClassVar[OutputPer] = "token"

    def __init__(self, feature_dim: int, num_outputs: int, dropout: float = 0.1) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected head.dropout to be from 0 to below 1 but got {dropout}.")
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(feature_dim, num_outputs)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Features) -> Tensor:
        """Map features, ``tokens`` of shape ``(B, T, D)``, to outputs ``(B, T, K)``.

        Raises:
            ConfigError: The backbone has no tokens.
        """
        if features.tokens is None:
            raise ConfigError(
                "Expected a backbone with tokens for head=tokens but got one without; use backbone=transformers."
            )
        outputs: Tensor = self.output(self.dropout(features.tokens))
        return outputs

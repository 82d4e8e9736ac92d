"""Map a learned mean of the features of every stage to outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs
from tunesmith.errors import ConfigError


class WeightedStages(nn.Module):
    """Dropout and one linear layer on the weighted mean of the normalised stage features.

    The weights are a softmax of one learned number per stage (Peters et al. 2018, the scalar mix of ELMo). They are
    equal at first; the linear layer is initialised as in `linear.Linear`.

    Args:
        feature_dim: Width D of the pooled features.
        num_outputs: Outputs K.
        stage_dims: Width of each stage's features, all of them D.
        dropout: Probability of dropping a feature, from 0 to below 1.

    Raises:
        ConfigError: The dropout is out of range, or the stage features differ in width.
    """

    needs: ClassVar[Needs] = Needs(stage_features=True)

    def __init__(self, feature_dim: int, num_outputs: int, stage_dims: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected head.dropout to be from 0 to below 1 but got {dropout}.")
        if set(stage_dims) != {feature_dim}:
            raise ConfigError(
                f"Expected stages of one width for head=weighted_stages but got {sorted(set(stage_dims))}; "
                "use head=multi_stage."
            )
        self.mix = nn.Parameter(torch.zeros(len(stage_dims)))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(feature_dim, num_outputs)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Features) -> Tensor:
        """Map features, ``stage_features`` of shape ``(B, D)`` each, to outputs ``(B, K)``."""
        stage_features = torch.stack(
            [nn.functional.layer_norm(x, x.shape[1:]) for x in features.stage_features], dim=1
        )  # (B, L, D)
        outputs: Tensor = self.output(self.dropout((self.mix.softmax(0)[:, None] * stage_features).sum(dim=1)))
        return outputs

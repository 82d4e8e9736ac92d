"""Map the features of every stage of the backbone to outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs
from tunesmith.errors import ConfigError, nearest

NORMS = ("batch", "layer", "none")


class MultiStage(nn.Module):
    """Dropout and one linear layer on the pooled output of every stage, each normalised.

    Shallow stages represent edges and textures that the last one has discarded. Stages have very different scales, so
    each is normalised, without learned factors, which the linear layer provides.

    The weight is initialised with normal noise of standard deviation 0.01, the bias with zero: the first loss is about
    log K.

    Args:
        feature_dim: Width of the pooled features; unused, since the last stage contains them.
        num_outputs: Outputs K.
        stage_dims: Width ``D_i`` of each stage's features.
        dropout: Probability of dropping a feature, from 0 to below 1.
        norm: Normalisation of each stage: ``batch``, each feature over the samples, which needs at least two images in
            every training batch; ``layer``, each sample over the stage's features.

    Raises:
        ConfigError: The dropout is out of range or the norm unknown.
    """

    needs: ClassVar[Needs] = Needs(stage_features=True)

    def __init__(
        self,
        feature_dim: int,
        num_outputs: int,
        stage_dims: Sequence[int],
        dropout: float = 0.0,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected head.dropout to be from 0 to below 1 but got {dropout}.")
        if norm not in NORMS:
            raise ConfigError(f"Expected head.norm to be batch, layer or none but got '{norm}'.{nearest(norm, NORMS)}")
        self.norms = nn.ModuleList(_norm(norm, width) for width in stage_dims)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(sum(stage_dims), num_outputs)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Features) -> Tensor:
        """Map features, ``stage_features`` of shapes ``(B, D_i)``, to outputs ``(B, K)``."""
        stage_features = [norm(pooled) for norm, pooled in zip(self.norms, features.stage_features, strict=True)]
        outputs: Tensor = self.output(self.dropout(torch.cat(stage_features, dim=1)))
        return outputs


def _norm(norm: str, width: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm1d(width, affine=False)
    return nn.LayerNorm(width, elementwise_affine=False) if norm == "layer" else nn.Identity()

"""Classify by the direction of features, not their length."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunesmith.contract.features import Features, Needs
from tunesmith.errors import ConfigError


class Cosine(nn.Module):
    """Computes the cosine between pooled features and one weight vector per output, times a scale.

    Outputs do not depend on the length of features or weights, which helps if classes have few images or very
    unequal numbers (Gidaris and Komodakis 2018, Dynamic Few-Shot Visual Learning without Forgetting). The scale
    is learned as its logarithm, so it stays positive and moves by factors. The first loss is about log K plus
    ``scale² / 2D``, since directions in many dimensions are nearly orthogonal.

    Args:
        feature_dim: Width D of the pooled features.
        num_outputs: Outputs K.
        scale: Largest output; the initial value of a learned scale.
        learn_scale: Whether the scale is learned.

    Raises:
        ConfigError: The scale is not positive.
    """

    log_scale: Tensor

    needs: ClassVar[Needs] = Needs(pooled=True)

    def __init__(self, feature_dim: int, num_outputs: int, scale: float = 10.0, learn_scale: bool = True) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ConfigError(f"Expected head.scale to be positive but got {scale}.")
        self.weight = nn.Parameter(torch.randn(num_outputs, feature_dim))
        log_scale = torch.tensor(math.log(scale))
        if learn_scale:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def forward(self, features: Features) -> Tensor:
        """Map features, ``pooled`` of shape ``(B, D)``, to outputs ``(B, K)``, from minus to plus the scale."""
        assert features.pooled is not None  # asked for
        return self.log_scale.exp() * F.linear(F.normalize(features.pooled), F.normalize(self.weight))

"""Combine a linear head with the head that a language model was pretrained with."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs
from tunesmith.head.language_model import LanguageModel
from tunesmith.head.linear import Linear


@final
class Joint(nn.Module):
    """A linear head for a text's label, and the language model's own head for its tokens.

    Args:
        feature_dim: Width D of the pooled features.
        num_outputs: Outputs K.
        lm_head: See `LanguageModel`.
        dropout: Dropout of the linear head; see `Linear`.

    Raises:
        ConfigError: The backbone is no language model, or the dropout is out of range.
    """

    needs: ClassVar[Needs] = Needs(pooled=True)
    language_needs: ClassVar[Needs] = LanguageModel.needs

    def __init__(self, feature_dim: int, num_outputs: int, lm_head: nn.Module | None, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = Linear(feature_dim, num_outputs, dropout)
        self.language = LanguageModel(lm_head)

    def language_outputs(self, features: Features) -> Tensor:
        """Map features, ``tokens`` of shape ``(M, D)``, to outputs ``(M, V)`` over the vocabulary."""
        outputs: Tensor = self.language(features)
        return outputs

    def forward(self, features: Features) -> Tensor:
        """Map features, ``pooled`` of shape ``(B, D)``, to outputs ``(B, K)``."""
        outputs: Tensor = self.linear(features)
        return outputs

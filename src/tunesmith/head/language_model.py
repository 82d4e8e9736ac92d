"""Use the head that a language model was pretrained with."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs, OutputPer
from tunesmith.errors import ConfigError


class LanguageModel(nn.Module):
    """The backbone's own head: at each token of a text, one output per token of the vocabulary.

    If the model ties its weights to the embeddings, they belong to the backbone, and train and freeze with the stage
    ``embeddings``.

    Args:
        lm_head: The backbone's head; ``None`` if it has none.

    Raises:
        ConfigError: The backbone is no language model.
    """

    needs: ClassVar[Needs] = Needs(tokens=True)
    output_per: ClassVar[OutputPer] = "token"

    def __init__(self, lm_head: nn.Module | None) -> None:
        super().__init__()
        if lm_head is None:
            raise ConfigError(
                "Expected a language model for head=language_model, such as backbone=transformers, but got another "
                "backbone."
            )
        self.lm_head = lm_head

    def forward(self, features: Features) -> Tensor:
        """Map features, ``tokens`` of shape ``(B, T, D)``, to outputs ``(B, T, K)``."""
        outputs: Tensor = self.lm_head(features.tokens)
        return outputs

"""Map pooled features to outputs with hidden layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs
from tunesmith.errors import ConfigError, nearest

NORMS = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": nn.Identity}
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Hidden layers (linear, norm, activation, dropout) and a linear layer on the pooled features.

    One hidden layer as wide as the features, without a norm and with tanh, is the published head of BERT and RoBERTa.

    Hidden weights are initialised as in He et al. 2015 for ReLU, those of the last layer with normal noise of standard
    deviation 0.01, so that the first loss is about log K. All biases are initialised with zero.

    Args:
        feature_dim: Width D of the pooled features.
        num_outputs: Outputs K.
        hidden: Width of each hidden layer.
        dropout: Probability of dropping a hidden activation, from 0 to below 1.
        norm: Normalisation of the hidden layers. ``batch`` needs at least two samples in every training batch.
        activation: Activation after the normalisation.

    Raises:
        ConfigError: There is no hidden layer, a width is not positive, the dropout is out of range, or norm or
            activation unknown.
    """

    needs: ClassVar[Needs] = Needs(pooled=True)

    def __init__(
        self,
        feature_dim: int,
        num_outputs: int,
        hidden: Sequence[int] = (256,),
        dropout: float = 0.1,
        norm: Literal["layer", "batch", "none"] = "layer",
        activation: Literal["relu", "gelu", "tanh"] = "relu",
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ConfigError(
                f"Expected head.hidden to list widths of at least 1 but got {list(hidden)}; see head=linear."
            )
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected head.dropout to be from 0 to below 1 but got {dropout}.")
        if norm not in NORMS:
            raise ConfigError(f"Expected head.norm to be layer, batch or none but got '{norm}'.{nearest(norm, NORMS)}")
        if activation not in ACTIVATIONS:
            near = nearest(activation, ACTIVATIONS)
            raise ConfigError(f"Expected head.activation to be relu, gelu or tanh but got '{activation}'.{near}")
        after = (norm, activation, dropout)
        self.hidden = nn.Sequential(*(_layer(a, b, *after) for a, b in pairwise([feature_dim, *hidden])))
        self.output = nn.Linear(hidden[-1], num_outputs)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Features) -> Tensor:
        """Map features, ``pooled`` of shape ``(B, D)``, to outputs ``(B, K)``."""
        outputs: Tensor = self.output(self.hidden(features.pooled))
        return outputs


def _layer(width_in: int, width_out: int, norm: str, activation: str, dropout: float) -> nn.Sequential:
    linear = nn.Linear(width_in, width_out)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, NORMS[norm](width_out), ACTIVATIONS[activation](), nn.Dropout(dropout))

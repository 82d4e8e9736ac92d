"""Pool tokens or pixels by learned attention."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from tunesmith.contract.features import Features, Needs
from tunesmith.errors import ConfigError


class AttentionPool(nn.Module):
    """Weighs the backbone's tokens, or the pixels of its last map, by learned queries; one linear layer on their mean.

    Each attention head has one query, which scores the normalised tokens, and pools an equal share of the channels (the
    learned seed of Lee et al. 2019, Set Transformer, without its projections: D parameters per head instead of 4 D²).
    Queries are initialised with zero: the first pooling is the mean over all tokens, and the first loss is about log K.

    Args:
        feature_dim: Width D of the tokens, or channels of the map.
        num_outputs: Outputs K.
        heads: Number of attention heads, a divisor of D.
        dropout: Probability of dropping a pooled feature, from 0 to below 1.

    Raises:
        ConfigError: The heads do not divide D or the dropout is out of range; or, at the first batch, the backbone
            returns neither tokens nor a map of that width.
    """

    needs: ClassVar[Needs] = Needs(tokens=True, maps=(-1,))

    def __init__(self, feature_dim: int, num_outputs: int, heads: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or feature_dim % heads:
            raise ConfigError(f"Expected head.heads to divide the {feature_dim} features but got {heads}.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"Expected head.dropout to be from 0 to below 1 but got {dropout}.")
        self.feature_dim = feature_dim
        self.norm = nn.LayerNorm(feature_dim)
        self.queries = nn.Linear(feature_dim, heads, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(feature_dim, num_outputs)
        nn.init.zeros_(self.queries.weight)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Features) -> Tensor:
        """Map features, ``tokens`` ``(B, T, D)`` or the last of ``maps`` ``(B, D, H, W)``, to outputs ``(B, K)``."""
        tokens = self._tokens(features)
        scores = self.queries(self.norm(tokens))  # (B, T, heads)
        if features.tokens is not None and features.mask is not None:
            scores = scores.masked_fill(features.mask.unsqueeze(2) == 0, float("-inf"))
        attention = scores.softmax(dim=1)
        shares = tokens.reshape(*attention.shape, -1)  # (B, T, heads, D / heads)
        pooled = (attention.unsqueeze(3) * shares).sum(dim=1).flatten(1)
        outputs: Tensor = self.output(self.dropout(pooled))
        return outputs

    def _tokens(self, features: Features) -> Tensor:
        tokens = features.tokens
        if tokens is None and features.maps:
            tokens = features.maps[-1].flatten(2).transpose(1, 2)
        if tokens is None or tokens.shape[2] != self.feature_dim:
            got = "neither" if tokens is None else f"a width of {tokens.shape[2]}"
            raise ConfigError(
                f"Expected tokens, or a map, of width {self.feature_dim} from the backbone but got {got}; "
                "use head=linear."
            )
        return tokens

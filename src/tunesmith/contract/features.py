"""What a backbone gives a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Stage:
    """One named stage of a backbone; stages run one after another, shallow to deep.

    Attributes:
        name: The name that policies and tables use.
        members: Names of the submodules of ``backbone.net`` that the stage owns, in the order they run; a parameter
            that no submodule holds (a class token, position embeddings) is a member by its own name.
    """

    name: str
    members: tuple[str, ...]


class Features(NamedTuple):
    """What a backbone gives a head.

    Attributes:
        pooled: ``(B, D)``.
        map: The last feature map ``(B, C, H, W)``, before pooling, where the backbone has one.
        tokens: The last tokens ``(B, T, D)``, where the backbone has them.
        mask: Which of the tokens count ``(B, T)``, 1 or 0; ``None`` where all do.
        stage_features: The output of every stage, pooled ``(B, D_i)``, shallow to deep; only where asked for.
    """

    pooled: Tensor
    map: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    stage_features: tuple[Tensor, ...] = ()

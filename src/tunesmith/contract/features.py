"""What a backbone gives a head, and what a head asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

OutputPer: TypeAlias = Literal["sample", "token", "pixel"]
"""What a head gives one output for, and a kind of target needs one for."""


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


@dataclass(frozen=True)
class MapInfo:
    """The shape of one unpooled map of a backbone.

    Attributes:
        channels: Its channels C.
        stride: Pixels of the image per pixel of the map, along either side.
    """

    channels: int
    stride: float


@dataclass(frozen=True)
class Needs:
    """What a head asks of a backbone; nothing else is computed or kept.

    Attributes:
        pooled: The pooled features.
        tokens: The last tokens and their mask, as far as the backbone has them.
        maps: Which unpooled maps, as places in `Backbone.map_info`: 0 is the shallowest, -1 the deepest. Those that a
            backbone lacks are left out.
        stage_features: The pooled output of every stage.
    """

    pooled: bool = False
    tokens: bool = False
    maps: tuple[int, ...] = ()
    stage_features: bool = False


POOLED = Needs(pooled=True)
"""What most heads ask for."""


class Features(NamedTuple):
    """What a backbone gives a head: what the head's `Needs` name, and nothing else.

    Attributes:
        pooled: ``(B, D)``.
        tokens: The last tokens ``(B, T, D)``.
        mask: Which of the tokens count ``(B, T)``, 1 or 0; ``None`` where all do.
        maps: Feature maps ``(B, C_i, H_i, W_i)``, unpooled, in the order in which they were asked for.
        stage_features: The output of every stage, pooled ``(B, D_i)``, shallow to deep.
    """

    pooled: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    stage_features: tuple[Tensor, ...] = ()

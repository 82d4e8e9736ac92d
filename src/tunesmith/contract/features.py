"""Define the features that a backbone returns and a head needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

OutputPer: TypeAlias = Literal["sample", "token", "pixel"]
"""Unit that a head has one output for."""


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
        stride: Pixels of the image per pixel of the map, along each side.
    """

    channels: int
    stride: float


@dataclass(frozen=True)
class Needs:
    """The features that a head needs; nothing else is computed or cached.

    Attributes:
        pooled: The pooled features.
        tokens: The last tokens and their mask, if the backbone has them.
        maps: Unpooled maps, as indices into `Backbone.map_info`: 0 is the shallowest, -1 the deepest. Maps that a
            backbone lacks are omitted.
        stage_features: The pooled output of every stage.
    """

    pooled: bool = False
    tokens: bool = False
    maps: tuple[int, ...] = ()
    stage_features: bool = False


POOLED = Needs(pooled=True)
"""The needs of most heads."""


class Features(NamedTuple):
    """The features named by a head's `Needs`, and nothing else.

    Attributes:
        pooled: ``(B, D)``.
        tokens: The last tokens ``(B, T, D)``.
        mask: Which tokens count ``(B, T)``, 1 or 0; ``None`` if all do.
        maps: Feature maps ``(B, C_i, H_i, W_i)``, unpooled, in the order of the needs.
        stage_features: The output of every stage, pooled ``(B, D_i)``, shallow to deep.
    """

    pooled: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    stage_features: tuple[Tensor, ...] = ()

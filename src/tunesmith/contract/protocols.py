"""What the rooms ask of each other: the protocols of backbones and heads, and what a head declares of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tunesmith.contract.features import Features, MapInfo, Needs, OutputPer, Stage
from tunesmith.contract.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.contract.batch import Activations, Inputs, Outputs


@dataclass(frozen=True)
class Weights:
    """Where a backbone's weights came from, for the record.

    Attributes:
        source: As the user named it (``pretrained``, ``package:<name>``, a path), or ``None`` for random ones.
        hash: Hex digest over names, shapes and bytes of the tensors that were loaded; ``None`` for random weights.
        matched: Number of tensors loaded.
        ignored: Names in the source that the backbone has no use for, such as the old classifier's.
        missing: Names that the backbone has and the source lacks; only ever filled with ``strict=False``.
    """

    source: str | None = None
    hash: str | None = None
    matched: int = 0
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Backbone(Protocol):
    """A pretrained network cut into stages; see `tunesmith.backbone.base.Backbone` for the class to derive from."""

    net: Any
    feature_dim: int
    stages: tuple[Stage, ...]
    preprocess: Preprocess
    weights: Weights

    @property
    def files(self) -> Sequence[Path]:
        """Small files without which it cannot be built, besides weights."""
        ...

    @property
    def apart(self) -> bool:
        """Whether every stage uses weights of its own alone."""
        ...

    def __call__(self, x: Inputs | Activations, frozen: int = 0, needs: Needs = ...) -> Features:
        """Map images or tokens, or what `activations` gave, to features; ``frozen`` stages run without gradients."""
        ...

    def activations(self, x: Inputs, k: int, needs: Needs = ...) -> Activations:
        """Run the first ``k`` stages only."""
        ...

    def map_info(self) -> tuple[MapInfo, ...]:
        """Channels and stride of the unpooled maps that there are, shallow to deep."""
        ...

    def blank(self, count: int = 1) -> Inputs:
        """An input of nothing, on the backbone's device: so many black images, or texts of one token."""
        ...

    def members(self, stage: Stage) -> Mapping[str, Any]:
        """The submodules, or parameters, that a stage owns, by their names in ``net``."""
        ...

    def called(self) -> set[str]:
        """Names of the modules of the network that a forward pass calls."""
        ...

    def stage_dims(self) -> tuple[int, ...]:
        """Widths ``D_i`` of the stage features."""
        ...

    def lm_head(self) -> nn.Module | None:
        """Make the head that a language model was pretrained with; ``None`` where there is none."""
        ...


class Head(Protocol):
    """Features to outputs ``(B, K)``, ``(B, T, K)`` of T tokens or ``(B, K, H, W)`` of pixels.

    It is built with those of ``feature_dim`` and ``num_outputs`` that it names. One that names ``stage_dims`` in its
    signature gets the widths of the stage features, ``map_info`` channels and strides of the maps, ``target`` the kind
    of target that the data have, and ``lm_head`` the head that a language model was pretrained with. What it is
    besides, it declares: see `HeadTraits`.

    Attributes:
        needs: Which features it takes; the backbone computes, and the cache keeps, nothing else.
    """

    needs: Needs

    def __call__(self, features: Features) -> Outputs:
        """Map features to outputs: a tensor, or several by name, with a row per sample."""
        ...


@runtime_checkable
class FittedHead(Head, Protocol):
    """A head that is not trained step by step but fitted, once, to what a frozen backbone gives in one epoch.

    It has a 0-dim tensor ``alpha`` too, the strength of its penalty. That is no member here: from Python 3.12 on,
    `isinstance` does not see the buffers of a module.
    """

    def vectors(self, features: Features) -> Tensor:
        """What is collected of a batch: ``(B, D)``."""
        ...

    def fit(self, vectors: Tensor, target: Tensor, weight: Tensor | None) -> None:
        """Fit to all vectors ``(N, D)``, targets as the loss has them ``(N, K)`` and weights ``(N,)``, on the CPU."""
        ...

    def outputs(self, vectors: Tensor) -> Tensor:
        """Map vectors ``(B, D)`` to outputs ``(B, K)``."""
        ...


@runtime_checkable
class JointHead(Head, Protocol):
    """A head for samples with a language model's own head beside it.

    Attributes:
        language_needs: Which features the language model's head takes.
    """

    language_needs: Needs

    def language_outputs(self, features: Features) -> Tensor:
        """Map features of tokens ``(M, D)`` to outputs ``(M, V)`` over the V tokens of the vocabulary."""
        ...


@dataclass(frozen=True)
class HeadTraits:
    """What a head declares of itself, by attributes of these names.

    Attributes:
        needs: Which features it takes; ``None`` for a module that does not say so, and so is no head.
        output_per: What it has one output for.
    """

    needs: Needs | None = None
    output_per: OutputPer = "sample"

    @staticmethod
    def of(head: object) -> HeadTraits:
        """Read the traits of a head: the one place that asks for attributes which a user's own head may not have."""
        needs = getattr(head, "needs", None)
        return HeadTraits(needs if isinstance(needs, Needs) else None, getattr(head, "output_per", "sample"))

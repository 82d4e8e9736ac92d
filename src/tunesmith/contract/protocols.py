"""Declare what the rooms use of each other: backbone, head, data module and task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

from tunesmith.contract.features import Features, MapInfo, Needs, OutputPer, Stage
from tunesmith.contract.parameters import ParameterTable
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.spec import DataSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    from tunesmith.contract.batch import Activations, Batch, Inputs, Outputs

    Rows = npt.NDArray[np.int64]

T = TypeVar("T")


@dataclass(frozen=True)
class Weights:
    """Record where a backbone's weights came from.

    Attributes:
        source: As the user named it (``pretrained``, ``package:<name>``, a path), or ``None`` for random ones.
        hash: Hex digest over names, shapes and bytes of the tensors that were loaded; ``None`` for random weights.
        matched: Number of tensors loaded.
        ignored: Names in the source that the backbone does not use, such as the old classifier's.
        missing: Names that the backbone has and the source lacks; empty unless ``strict=False``.
    """

    source: str | None = None
    hash: str | None = None
    matched: int = 0
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Backbone(Protocol):
    """A pretrained network cut into stages; see `tunesmith.backbone.base.Backbone` for the class to derive from."""

    net: nn.Module
    feature_dim: int
    stages: tuple[Stage, ...]
    preprocess: Preprocess
    weights: Weights

    @property
    def files(self) -> Sequence[Path]:
        """Small files, besides weights, needed to rebuild the backbone."""

    @property
    def apart(self) -> bool:
        """Whether no stage uses another stage's weights."""

    def __call__(self, x: Inputs | Activations, frozen: int = 0, needs: Needs = ...) -> Features:
        """Map inputs, or the result of `activations`, to features; ``frozen`` stages run without gradients."""

    def activations(self, x: Inputs, k: int, needs: Needs = ...) -> Activations:
        """Run only the first ``k`` stages."""

    def map_info(self) -> tuple[MapInfo, ...]:
        """Return channels and stride of the unpooled maps, shallow to deep."""

    def blank(self, count: int = 1) -> Inputs:
        """Return a blank input on the backbone's device: ``count`` black images, or short texts."""

    def members(self, stage: Stage) -> Mapping[str, nn.Module | nn.Parameter]:
        """Return the submodules and parameters that a stage owns, by their names in ``net``."""

    def called(self) -> set[str]:
        """Return the names of the modules of the network that a forward pass calls."""

    def maps_within(self, needs: Needs, end: int) -> tuple[int, ...]:
        """Return which of the needed maps the first ``end`` stages produce, as indices into `map_info`."""

    def stage_dims(self) -> tuple[int, ...]:
        """Return the widths ``D_i`` of the stage features."""

    def lm_head(self) -> nn.Module | None:
        """Build the head that a language model was pretrained with; ``None`` if there is none."""


@runtime_checkable
class Generator(Protocol):
    """A backbone that generates text."""

    def write(
        self,
        lm_head: nn.Module,
        x: Mapping[str, Tensor],
        *,
        max_new_tokens: int = 64,
        num_beams: int = 1,
        begin: Mapping[str, int] | None = None,
    ) -> Tensor:
        """Generate tokens ``(B, S)`` from ``input_ids`` and ``attention_mask`` ``(B, T)``, without sampling.

        ``num_beams=1`` is greedy search; ``begin`` is the first token, under the library's names for it.
        """


class Head(Protocol):
    """Maps features to outputs ``(B, K)``, ``(B, T, K)`` of T tokens or ``(B, K, H, W)`` of pixels.

    A head receives the arguments that its signature names, out of ``feature_dim``, ``num_outputs``, ``stage_dims`` (the
    widths of the stage features), ``map_info`` (channels and strides of the maps), ``target`` (the data's kind of
    target) and ``lm_head`` (the head that a language model was pretrained with). See `HeadTraits` for what it declares.

    Attributes:
        needs: Which features it takes; the backbone computes, and the cache keeps, nothing else.
    """

    needs: Needs

    def __call__(self, features: Features) -> Outputs:
        """Map features to outputs: a tensor, or several by name, with one row per sample."""


@runtime_checkable
class FittedHead(Head, Protocol):
    """A head that is fitted once to a frozen backbone's features of one epoch, rather than trained step by step.

    It also has a buffer ``alpha``, the strength of its penalty: no member here, since from Python 3.12 on `isinstance`
    does not see the buffers of a module.
    """

    def vectors(self, features: Features) -> Tensor:
        """Return the vectors ``(B, D)`` to collect of a batch."""

    def fit(self, vectors: Tensor, target: Tensor, weight: Tensor | None) -> None:
        """Fit to all vectors ``(N, D)``, the loss's targets ``(N, K)`` and weights ``(N,)``, on the CPU."""

    def outputs(self, vectors: Tensor) -> Tensor:
        """Map vectors ``(B, D)`` to outputs ``(B, K)``."""


@runtime_checkable
class JointHead(Head, Protocol):
    """A head for samples, combined with a language model's own head.

    Attributes:
        language_needs: Which features the language model's head takes.
    """

    language_needs: Needs

    def language_outputs(self, features: Features) -> Tensor:
        """Map features of tokens ``(M, D)`` to outputs ``(M, V)`` over the V tokens of the vocabulary."""


class Vocabulary(Protocol):
    """Converts between texts and tokens; data modules of texts have one, and tasks that generate text receive it."""

    @property
    def mask(self) -> int | None:
        """The token that stands for a hidden one; ``None`` if the model has none."""

    @property
    def begin(self) -> Mapping[str, int]:
        """First generated token, under the generating library's names; empty for the model's own."""

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special tokens."""

    def pad(self, samples: Sequence[Tensor], length: int = 0) -> Mapping[str, Tensor]:
        """Collate the tokens of B texts, each ``(R, T)``, into `Inputs` ``(B, T)``, padded to at least ``length``."""


class Task(Protocol):
    """Declare what runs, callbacks and the cache may use of a task; see `tunesmith.task.base.Task` for the class.

    Attributes:
        backbone: The backbone.
        spec: Description of the data.
        table: Which parameter trains when, and how fast.
        needs: Which features the head takes.
        memory_format: Memory order of images and weights.
        monitor: Name of the metric that decides which weights are best; ``None`` without a validation split.
        mode: Whether more or less of it is better.
        vocabulary: Converts between texts and tokens, for tasks that generate text; set by `run.assembly`.
    """

    backbone: Backbone
    spec: DataSpec
    table: ParameterTable
    needs: Needs
    memory_format: torch.memory_format
    monitor: str | None
    mode: Literal["min", "max"]
    vocabulary: Vocabulary | None

    @property
    def device(self) -> torch.device:
        """Device of the task."""

    def laid_out(self, x: T) -> T:
        """Convert images and maps ``(B, C, H, W)`` to the memory order that the backbone runs in."""

    def apply_policy(self, epoch: int) -> None:
        """Train exactly what the table says for ``epoch``, and put the rest into eval mode."""

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """Return the count over which each term of the loss of a training batch is averaged."""


@dataclass(frozen=True)
class HeadTraits:
    """The attributes that a head declares.

    Attributes:
        needs: Which features it takes; ``None`` for a module without the attribute, which is no head.
        output_per: What one output is for.
    """

    needs: Needs | None = None
    output_per: OutputPer = "sample"

    @staticmethod
    def of(head: object) -> HeadTraits:
        """Read the traits of a head: the only place that reads attributes which a user's own head may lack."""
        needs = getattr(head, "needs", None)
        return HeadTraits(needs if isinstance(needs, Needs) else None, getattr(head, "output_per", "sample"))

"""What flows between the rooms: the types that data, backbone, policy, rates, head and task agree on.

Nothing here imports torch when it runs: the configuration is checked with this module loaded, and that must be fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypedDict, runtime_checkable

from typing_extensions import NotRequired

if TYPE_CHECKING:
    from torch import Tensor

Target: TypeAlias = Literal["class", "multilabel", "value", "ordinal", "tags", "span", "text", "tokens"]
"""Kinds of target; see `DataSpec`."""

RAGGED: tuple[Target, ...] = ("tags", "span", "text", "tokens")
"""Those with an output a token: a sample has as many of them as it has tokens."""

IGNORED = -100
"""In a target, at a position that does not count."""

Inputs: TypeAlias = "Tensor | Mapping[str, Tensor]"
"""What a backbone takes, and what flows between its stages: a tensor, or several by name, all of B rows.

Of pictures it is ``(B, C, H, W)``; of texts ``input_ids``, ``attention_mask`` (1 for tokens, 0 for the padding behind
them) and, where the model tells the parts of a pair apart, ``token_type_ids``: each ``(B, T)``, int64. Where a text is
to be written, also its ``target_ids`` and ``target_mask`` ``(B, S)``: the decoder reads them, a token behind.
"""

Activations: TypeAlias = "Mapping[str, Tensor]"
"""What the frozen stages gave for a batch, in place of its pictures or texts.

Either the pooled features ``(B, D)`` as ``pooled``, or the output of the last stage that ran, under that stage's name
(``stage/name`` for each tensor, where it is several); and, where the head wants them, the levels so far ``(B, D_i)`` as
``level.0``, ``level.1``, …
"""


class Batch(TypedDict):
    """One batch, on the device, ready for the backbone.

    Attributes:
        input: Float tensor ``(B, C, H, W)``, normalised as the backbone's `Preprocess` says; ``(B, V, C, H, W)`` where
            each of V views of a sample is to be predicted and the predictions averaged; the tokens of texts, see
            `Inputs`; or the `Activations` that the cache keeps of either.
        target: As `DataSpec.target` says: class index ``(B,)`` int64 (``class``, ``ordinal``), labels 0 or 1 ``(B, K)``
            float32 (``multilabel``), values ``(B, K)`` float32 in their own units (``value``). Where samples were
            mixed, a class target is the class probabilities ``(B, K)`` float32. What each token is to give ``(B, T)``
            int64 (``tags``, ``text``, ``tokens``), `IGNORED` where a position does not count; where an answer begins
            and ends, as positions of tokens ``(B, 2)`` int64 (``span``).
        index: Row of each sample in the data module's table ``(B,)``, int64; -1 marks a duplicate that only fills a
            distributed batch and is left out of every metric and prediction.
        weight: Weight of each sample in the loss ``(B,)``, float32; there only where the data have weights.
        words: For ``tags``: the token at which each word begins ``(B, W)``, int64; -1 where no token of it is there,
            `IGNORED` behind a sample's last word.
        tags: The tag of each of these words ``(B, W)``, int64; `IGNORED` behind the last.
        unlabelled: In training, texts that only the language model learns from: their ``input``, and as ``target`` what
            each token is to give ``(U, T)``.
    """

    input: Inputs | Activations
    target: Tensor
    index: Tensor
    weight: NotRequired[Tensor]
    words: NotRequired[Tensor]
    tags: NotRequired[Tensor]
    unlabelled: NotRequired[Unlabelled]


class Unlabelled(TypedDict):
    """Texts without labels in a batch; see `Batch`."""

    input: Mapping[str, Tensor]
    target: Tensor


@dataclass(frozen=True)
class DataSpec:
    """What the data is, published by a data module after `setup`; saved whole in run.json.

    Attributes:
        target: The kind of target: one ``class`` of several, any number of labels (``multilabel``), ``value`` (one or
            more real numbers), or classes in an order (``ordinal``); a class for each word (``tags``), begin and end of
            an answer in a text (``span``), a ``text`` that is to be written, the text's own ``tokens``.
        class_names: One name a class, label or value, in the order of the indices.
        input: The kind of input.
        channels: Channels of a decoded picture: 1 (grey) or 3 (RGB); 0 for texts.
        fingerprint: Digest of the content (files' bytes, labels and names), independent of place and time.
        split_unit: What was kept together when splitting: ``sample``, ``group`` or ``folder``.
        group: What a group is, in words; ``None`` where the data has none.
        train_counts: Training samples of each class, or with each label, or words with each tag, ``(K,)``; else empty.
        train_size: Training samples.
        mean_weight: Mean over the training samples of their weights in the loss.
        target_mean: Mean of each value over the training samples ``(K,)``; empty but for values.
        target_std: Standard deviation of each value over the training samples ``(K,)``; empty but for values.
        truncated: Share of the texts that are longer than the backbone sees.
        unlabelled: Number and digest of the texts that training batches hold besides; ``None`` for none.
    """

    class_names: tuple[str, ...]
    channels: int
    fingerprint: str
    split_unit: str
    group: str | None = None
    target: Target = "class"
    input: Literal["image", "text"] = "image"
    train_counts: tuple[int, ...] = ()
    train_size: int = 0
    mean_weight: float = 1.0
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    truncated: float = 0.0
    unlabelled: str | None = None

    @property
    def ragged(self) -> bool:
        """Whether there is an output a token, of which a sample has any number."""
        return self.target in RAGGED


@dataclass(frozen=True)
class Preprocess:
    """How pictures must be prepared for a backbone, taken from its weights.

    Attributes:
        size: Height and width in pixels of what the backbone sees.
        interpolation: ``bilinear``, ``bicubic`` or ``nearest``, as torchvision names them.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.
    """

    size: int = 224
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @property
    def channels(self) -> int:
        """Channels that the backbone expects."""
        return len(self.mean)


@dataclass(frozen=True)
class TextPreprocess:
    """How texts must be prepared for a backbone.

    Attributes:
        tokenizer: Name of the model whose tokenizer it is; as the user named it.
        folder: Where its files are on this machine.
        digest: Of these files.
        max_length: Most tokens of a text, those that mark its begin and end included; longer ones are cut.
        vocabulary: Number of tokens that the backbone knows.
        reads: Whether a token sees all others, only those before it, or what stands in another stack as well.
        languages: Codes of the languages that are read and written, where the tokenizer marks texts with them.
    """

    tokenizer: str
    folder: str
    digest: str
    max_length: int
    vocabulary: int
    reads: Literal["both_ways", "forward", "in_two_stacks"] = "both_ways"
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One named piece of a backbone; pieces run one after another, shallow to deep.

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
        levels: The output of every stage, pooled ``(B, D_i)``, shallow to deep; only where asked for.
    """

    pooled: Tensor
    map: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    levels: tuple[Tensor, ...] = ()


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
    preprocess: Preprocess | TextPreprocess
    weights: Weights
    files: Sequence[Path]

    def __call__(self, x: Inputs | Activations, frozen: int = 0, levels: bool = False) -> Features:
        """Map pictures or tokens, or what `activations` gave, to features; ``frozen`` stages run without gradients."""
        ...

    def activations(self, x: Inputs, k: int, levels: bool = False) -> Activations:
        """Run the first ``k`` stages only."""
        ...

    def blank(self, count: int = 1) -> Inputs:
        """An input of nothing, on the backbone's device: so many black pictures, or texts of one token."""
        ...

    def members(self, stage: Stage) -> Mapping[str, Any]:
        """The submodules, or parameters, that a stage owns, by their names in ``net``."""
        ...

    def called(self) -> set[str]:
        """Names of the modules of the network that a forward pass calls."""
        ...

    def level_dims(self) -> tuple[int, ...]:
        """Widths ``D_i`` of the levels."""
        ...


class Head(Protocol):
    """Features to outputs ``(B, K)``, or ``(B, T, K)`` of T tokens; built with ``feature_dim`` and ``num_outputs``.

    A head with an output a token has a true attribute ``per_token``.

    A head that names ``level_dims`` too gets the widths of the backbone's levels, and features with levels, unless its
    attribute ``levels`` is false; one that names ``target`` gets the kind of target that the data have.
    """

    def __call__(self, features: Features) -> Tensor:
        """Map features to outputs ``(B, K)`` or ``(B, T, K)``."""
        ...


@runtime_checkable
class FittedHead(Head, Protocol):
    """A head that is not trained step by step but fitted, once, to what a frozen backbone gives in one epoch."""

    alpha: Tensor

    def vectors(self, features: Features) -> Tensor:
        """What is collected of a batch: ``(B, D)``."""
        ...

    def fit(self, vectors: Tensor, target: Tensor, weight: Tensor | None) -> None:
        """Fit to all vectors ``(N, D)``, targets as the loss has them ``(N, K)`` and weights ``(N,)``, on the CPU."""
        ...

    def outputs(self, vectors: Tensor) -> Tensor:
        """Map vectors ``(B, D)`` to outputs ``(B, K)``."""
        ...

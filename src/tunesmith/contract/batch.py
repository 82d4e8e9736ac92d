"""A batch: what flows from the data to the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from typing_extensions import NotRequired

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.contract.tree import Tree

IGNORED = -100
"""In a target, at a position that does not count."""

TARGET = "target"
"""The term of a loss that compares outputs with the labelled samples' targets."""

UNLABELLED = "unlabelled"
"""The stream of texts that only a language model learns from."""


Inputs: TypeAlias = "Tensor | Mapping[str, Tensor | Mapping[str, Tensor]]"
"""What a backbone takes, and what flows between its stages: a tensor, or several by name, all with B rows.

For images it is ``(B, C, H, W)``; for texts ``input_ids``, ``attention_mask`` (1 for tokens, 0 for the padding behind
them) and, where the model tells the parts of a pair apart, ``token_type_ids``: each ``(B, T)``, int64. Where a text is
to be written, also its ``target_ids`` and ``target_mask`` ``(B, S)``: the decoder reads them, a token behind. Inputs
that are compared with each other, such as pairs, are mappings by name of any of these.
"""


Activations: TypeAlias = "Mapping[str, Tensor]"
"""What the frozen stages gave for a batch, in place of its images or texts.

Either the output of the last stage that ran, under that stage's name (``stage/name`` for each tensor, where it is
several) or, in its place, the pooled features ``(B, D)`` as ``pooled``, if the head asks for them; and, where the head
asks for them, the stage features ``(B, D_i)`` so far as ``stage_features.0``, ``stage_features.1``, …, and maps
``(B, C_i, H_i, W_i)`` as ``maps.`` with their stage's number behind.
"""


Outputs: TypeAlias = "Tensor | Mapping[str, Tensor]"
"""What a head gives: a tensor with a row per sample, or several by name."""


class Samples(TypedDict):
    """Samples and what is to be said of them.

    Attributes:
        input: As `Inputs` says, images as float tensors that are normalised as the backbone's `Preprocess` says; or the
            `Activations` that the cache keeps.
        target: As `Batch` says.
    """

    input: Inputs | Activations
    target: Tree


class Batch(Samples):
    """One batch, on the device, ready for the backbone.

    The target is what loss and metrics need on the device, a tree; which one, the class of each kind of target says
    (`tunesmith.target`). A position that does not count is `IGNORED` in it.

    Attributes:
        index: Row of each sample in the data module's table ``(B,)``, int64; -1 marks a duplicate that only fills a
            distributed batch and is left out of every metric and prediction.
        weight: Weight of each sample in the loss ``(B,)``, float32; there only where the data have weights.
        views: Number V of views of each sample whose predictions are to be averaged; the input then has ``B · V`` rows,
            views of a sample one after another, and all else B. 1 where it is missing.
        meta: Plain values by name, a list of B each, which never go to the device.
        streams: Further samples by name, in training: those that are `UNLABELLED`.
        totals: What each term of the loss is the mean over, by name: its count in all batches of the optimizer step
            that this batch is part of. Missing where the batch is all of it.
    """

    index: Tensor
    weight: NotRequired[Tensor]
    views: NotRequired[int]
    meta: NotRequired[Mapping[str, Sequence[Any]]]
    streams: NotRequired[Mapping[str, Samples]]
    totals: NotRequired[Mapping[str, float]]

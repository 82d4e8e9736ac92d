"""Define the batch, which flows from the data to the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from typing_extensions import NotRequired

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.contract.tree import Tree

IGNORED = -100
"""Target of a position that does not count."""

TARGET = "target"
"""Name of the loss term of the labelled samples."""

UNLABELLED = "unlabelled"
"""Name of the stream of texts for the language-modelling loss."""


Inputs: TypeAlias = "Tensor | Mapping[str, Tensor | Mapping[str, Tensor]]"
"""The input of a backbone, and of each of its stages: a tensor, or several by name, all with B rows.

Images are ``(B, C, H, W)``. Texts are ``input_ids``, ``attention_mask`` (1 for tokens, 0 for the padding behind them)
and, if the model distinguishes the parts of a pair, ``token_type_ids``: each ``(B, T)``, int64. For text generation
also ``target_ids`` and ``target_mask`` ``(B, S)``, which the decoder reads one token behind. Inputs that are compared
with each other, such as pairs, are mappings by name of any of these.
"""


Activations: TypeAlias = "Mapping[str, Tensor]"
"""The outputs of the frozen stages for a batch, in place of its images or texts.

Either the output of the last stage that ran, under that stage's name (``stage/name`` for each of several tensors), or
the pooled features ``(B, D)`` as ``pooled``. If the head needs them, also the stage features ``(B, D_i)`` so far as
``stage_features.0``, ``stage_features.1``, …, and maps ``(B, C_i, H_i, W_i)`` as ``maps.`` and their stage's number.
"""


Outputs: TypeAlias = "Tensor | Mapping[str, Tensor]"
"""The output of a head: a tensor with one row per sample, or several by name."""


class Samples(TypedDict):
    """Samples and their targets.

    Attributes:
        input: `Inputs`, with images as float tensors normalised as in `Preprocess`; or cached `Activations`.
        target: As in `Batch`.
    """

    input: Inputs | Activations
    target: Tree


class Batch(Samples):
    """One batch, on the device, ready for the backbone.

    The target is a tree, in the form that the module of its kind describes (`tunesmith.target`). Positions that do not
    count are `IGNORED`.

    Attributes:
        index: Row of each sample in the data module's table ``(B,)``, int64; -1 marks a duplicate that only fills a
            distributed batch and is left out of every metric and prediction.
        weight: Weight of each sample in the loss ``(B,)``, float32; missing if the data have none.
        views: Number V of views per sample whose predictions are averaged; the input then has ``B · V`` rows, with the
            views of a sample in sequence, and everything else B. 1 if missing.
        meta: Plain values by name, a list of B each, which stay on the CPU.
        streams: Further training samples by name, such as `UNLABELLED`.
        totals: Count of each loss term over all batches of the optimizer step, by name. Missing if the step is this
            batch.
    """

    index: Tensor
    weight: NotRequired[Tensor]
    views: NotRequired[int]
    meta: NotRequired[Mapping[str, Sequence[Any]]]
    streams: NotRequired[Mapping[str, Samples]]
    totals: NotRequired[Mapping[str, float]]

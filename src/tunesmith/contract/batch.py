"""A batch: what flows from the data to the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from typing_extensions import NotRequired

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""In a target, at a position that does not count."""


Inputs: TypeAlias = "Tensor | Mapping[str, Tensor]"
"""What a backbone takes, and what flows between its stages: a tensor, or several by name, all of B rows.

Of images it is ``(B, C, H, W)``; of texts ``input_ids``, ``attention_mask`` (1 for tokens, 0 for the padding behind
them) and, where the model tells the parts of a pair apart, ``token_type_ids``: each ``(B, T)``, int64. Where a text is
to be written, also its ``target_ids`` and ``target_mask`` ``(B, S)``: the decoder reads them, a token behind.
"""


Activations: TypeAlias = "Mapping[str, Tensor]"
"""What the frozen stages gave for a batch, in place of its images or texts.

Either the pooled features ``(B, D)`` as ``pooled``, or the output of the last stage that ran, under that stage's name
(``stage/name`` for each tensor, where it is several); and, where the head wants them, the levels so far ``(B, D_i)`` as
``stage_features.0``, ``stage_features.1``, …
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
        word_starts: For ``tags``: the token at which each word begins ``(B, W)``, int64; -1 where no token of it is
            there, `IGNORED` behind a sample's last word.
        tags: The tag of each of these words ``(B, W)``, int64; `IGNORED` behind the last.
        unlabelled: In training, texts that only the language model learns from: their ``input``, and as ``target`` what
            each token is to give ``(U, T)``.
    """

    input: Inputs | Activations
    target: Tensor
    index: Tensor
    weight: NotRequired[Tensor]
    word_starts: NotRequired[Tensor]
    tags: NotRequired[Tensor]
    unlabelled: NotRequired[Unlabelled]


class Unlabelled(TypedDict):
    """Texts without labels in a batch; see `Batch`."""

    input: Mapping[str, Tensor]
    target: Tensor

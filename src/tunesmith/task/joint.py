"""The joint objective: what is learnt of labelled texts, and of texts themselves, in one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from tunesmith.contract.batch import IGNORED, Unlabelled
from tunesmith.contract.protocols import Head, JointHead
from tunesmith.task.metric.perplexity import mean_of_texts


def lm_loss_weight_mistakes(weight: float, head: Head) -> Iterator[str]:
    """Say so where a weight is negative, or does not go with the head."""
    if weight < 0:
        yield f"Expected task.lm_loss_weight to be 0 or more but got {weight}."
    if not weight and isinstance(head, JointHead):
        yield (
            "Expected task.lm_loss_weight to be above 0 with head=joint but got 0; use task=classification to see what "
            "it gives without."
        )
    if weight and not isinstance(head, JointHead):
        yield (
            f"Expected a head with a language model's for task.lm_loss_weight={weight} but got {type(head).__name__}; "
            "use head=joint."
        )


def text_losses(task: Any, batch: Unlabelled) -> Tensor:
    """The loss of each text ``(U,)``: cross-entropy of what its tokens are to give, the mean over them.

    Outputs, each as long as the vocabulary, are computed only of tokens that are to give something.

    Args:
        task: With a backbone, and a `JointHead`.
        batch: Texts without labels.
    """
    counts = batch["target"] != IGNORED
    features = task.features(batch["input"])
    outputs = task.head.language_outputs(features._replace(tokens=features.tokens[counts]))
    return mean_of_texts(F.cross_entropy(outputs.float(), batch["target"][counts], reduction="none"), counts)

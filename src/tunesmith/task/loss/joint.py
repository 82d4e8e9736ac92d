"""The joint objective: what is learnt of labelled texts, and of texts themselves, in one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from tunesmith.contract.batch import IGNORED, UNLABELLED, Batch, Samples
from tunesmith.contract.protocols import Head, JointHead
from tunesmith.task.kind import as_tensor
from tunesmith.task.loss.term import Term
from tunesmith.task.metric.perplexity import mean_of_texts

LM = "lm"
"""The term of a loss that is of texts without labels."""


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


def text_losses(task: Any, batch: Samples) -> Tensor:
    """The loss of each text ``(U,)``: cross-entropy of what its tokens are to give, the mean over them.

    Outputs, each as long as the vocabulary, are computed only of tokens that are to give something.

    Args:
        task: With a backbone, and a `JointHead`.
        batch: Texts without labels.
    """
    target = as_tensor(batch["target"])
    counts = target != IGNORED
    features = task.features(batch["input"], task.head.language_needs)
    outputs = task.head.language_outputs(features._replace(tokens=features.tokens[counts]))
    return mean_of_texts(F.cross_entropy(outputs.float(), target[counts], reduction="none"), counts)


def stream_terms(task: Any, batch: Batch) -> dict[str, Term]:
    """The terms of the loss of what a training batch holds besides its samples: of texts without labels.

    Args:
        task: As for `text_losses`; its ``train_lm_loss`` is updated.
        batch: The batch.
    """
    if task.train_lm_loss is None:
        return {}
    texts = text_losses(task, batch["streams"][UNLABELLED])
    task.train_lm_loss.update(texts.detach())
    return {LM: Term(texts.mean(), len(texts))}


def stream_counts(batch: Batch) -> dict[str, float]:
    """Count what these terms are the means over."""
    streams = batch.get("streams", {})
    return {LM: len(as_tensor(streams[UNLABELLED]["target"]))} if UNLABELLED in streams else {}

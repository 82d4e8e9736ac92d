"""Add the language-modelling loss of unlabelled texts to a step: the joint objective."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from tunesmith.contract.batch import IGNORED, UNLABELLED, Batch, Samples
from tunesmith.contract.protocols import Head, JointHead
from tunesmith.task.kind import as_tensor
from tunesmith.task.loss.term import Term
from tunesmith.task.metric.perplexity import mean_of_texts

if TYPE_CHECKING:
    from tunesmith.task.base import Task

LM = "lm"
"""Name of the loss term of unlabelled texts."""


def lm_loss_weight_mistakes(weight: float, head: Head) -> Iterator[str]:
    """Report a weight that is negative, or does not fit the head."""
    if weight < 0:
        yield f"Expected task.lm_loss_weight to be 0 or more but got {weight}."
    if not weight and isinstance(head, JointHead):
        yield (
            "Expected task.lm_loss_weight to be above 0 with head=joint but got 0; use task=classification to train "
            "without it."
        )
    if weight and not isinstance(head, JointHead):
        yield (
            f"Expected a head with a language model's own for task.lm_loss_weight={weight} but got "
            f"{type(head).__name__}; use head=joint."
        )


def text_losses(task: Task, batch: Samples) -> Tensor:
    """Compute the loss of each text ``(U,)``: the mean cross-entropy of its tokens.

    Outputs, each as long as the vocabulary, are computed only for tokens with a target.

    Args:
        task: A task with a `JointHead`.
        batch: Unlabelled texts.
    """
    target, head = as_tensor(batch["target"]), task.head
    assert isinstance(head, JointHead)  # `lm_loss_weight_mistakes` refuses others
    counts = target != IGNORED
    features = task.features(batch["input"], head.language_needs)
    outputs = head.language_outputs(features._replace(tokens=as_tensor(features.tokens)[counts]))
    return mean_of_texts(F.cross_entropy(outputs.float(), target[counts], reduction="none"), counts)


def stream_terms(task: Task, batch: Batch) -> dict[str, Term]:
    """Compute the loss terms of a training batch's unlabelled texts; none if the task does not use them.

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
    """Return the count over which each of these terms is averaged."""
    streams = batch.get("streams", {})
    return {LM: len(as_tensor(streams[UNLABELLED]["target"]))} if UNLABELLED in streams else {}

"""The joint objective: what is learnt of labelled texts, and of texts themselves, in one step."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from tunesmith.contract.batch import IGNORED, UNLABELLED, Batch, Samples
from tunesmith.errors import ConfigError
from tunesmith.task.kind import as_tensor
from tunesmith.task.loss.term import Term
from tunesmith.task.metric.perplexity import mean_of_texts

LM = "lm"
"""The term of a loss that is of texts without labels."""


def check_lm_loss_weight(weight: float, head: Any) -> None:
    """Refuse what is no weight, or a head without a language model's.

    Raises:
        ConfigError: It is so.
    """
    if weight < 0:
        raise ConfigError(f"Expected task.lm_loss_weight to be 0 or more but got {weight}.")
    if not weight and hasattr(head, "language"):
        raise ConfigError(
            "Expected task.lm_loss_weight to be above 0 with head=joint but got 0; use task=classification to see what "
            "it gives without."
        )
    if weight and not hasattr(head, "language"):
        raise ConfigError(
            f"Expected a head with a language model's for task.lm_loss_weight={weight} but got {type(head).__name__}; "
            "use head=joint."
        )


def text_losses(task: Any, batch: Samples) -> Tensor:
    """The loss of each text ``(U,)``: cross-entropy of what its tokens are to give, the mean over them.

    Outputs, each as long as the vocabulary, are computed only of tokens that are to give something.

    Args:
        task: With a backbone, and a head whose ``language`` is a language model's.
        batch: Texts without labels.
    """
    target = as_tensor(batch["target"])
    counts = target != IGNORED
    features = task.features(batch["input"], task.head.language.needs)
    outputs = task.head.language(features._replace(tokens=features.tokens[counts]))
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

"""The joint objective: what is learnt of labelled texts, and of texts themselves, in one step."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from tunesmith.contract.batch import IGNORED, Unlabelled
from tunesmith.errors import ConfigError
from tunesmith.task.metric.perplexity import mean_of_texts


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


def text_losses(task: Any, batch: Unlabelled) -> Tensor:
    """The loss of each text ``(U,)``: cross-entropy of what its tokens are to give, the mean over them.

    Outputs, each as long as the vocabulary, are computed only of tokens that are to give something.

    Args:
        task: With a backbone, and a head whose ``language`` is a language model's.
        batch: Texts without labels.
    """
    counts = batch["target"] != IGNORED
    features = task.features(batch["input"])
    outputs = task.head.language(features._replace(tokens=features.tokens[counts]))
    return mean_of_texts(F.cross_entropy(outputs.float(), batch["target"][counts], reduction="none"), counts)

"""Share what all tasks need in which a language model predicts the tokens of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from tunesmith.contract.batch import IGNORED, Batch
from tunesmith.contract.protocols import Backbone, Generator
from tunesmith.modality.base import of
from tunesmith.task.base import Task
from tunesmith.task.kind import as_tensor
from tunesmith.task.metric.perplexity import Perplexity, TokenAccuracy, mean_of_texts
from tunesmith.task.sequence import aligned
from tunesmith.task.writing import Writing

KINDS = {
    "bidirectional": "an encoder, such as BERT",
    "causal": "a decoder, such as GPT-2",
    "encoder_decoder": "an encoder-decoder, such as T5",
}
"""Kinds of language models, by attention."""


def attention_mistakes(backbone: Backbone, attention: str) -> Iterator[str]:
    """Report a backbone whose attention is not the task's."""
    own = backbone.preprocess.attention
    if own != attention:
        fits = {"bidirectional": "masked_lm", "causal": "causal_lm", "encoder_decoder": "seq2seq"}
        way = f"; use task={fits[own]}" if own in fits else ""
        got = KINDS.get(own, f"a backbone for {of(backbone.preprocess.modality).plural}")
        yield f"Expected {KINDS[attention]} for this task but got {got}{way}."


def metric_mistakes(metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Report metrics of classes: a vocabulary is not a list of classes."""
    for name, metric in metrics.items():
        if not isinstance(metric, Perplexity | TokenAccuracy):
            yield (
                f"Expected task.metrics.{name} to be Perplexity or TokenAccuracy but got {type(metric).__name__}, "
                "a metric of classes; leave it out."
            )


@torch.no_grad()
def score_tokens(metrics: Sequence[Metric], outputs: Tensor, target: Tensor) -> dict[str, object]:
    """Update metrics of tokens.

    Args:
        metrics: `Perplexity` and `TokenAccuracy`.
        outputs: ``(B, T, K)``; or only those that count, ``(M, K)``.
        target: ``(B, T')``, T' at most T.

    Returns:
        The mean negative log-likelihood of each text's tokens ``(B,)``, and the number of tokens that count ``(B,)``.
    """
    if outputs.ndim == 3:
        target = aligned(target, outputs.shape[1])
        outputs = outputs[target != IGNORED]
    counts = target != IGNORED
    nll = F.cross_entropy(outputs.float(), target[counts], reduction="none")
    for metric in metrics:
        if len(nll):
            right = (outputs.argmax(dim=1) == target[counts]).float()
            metric.update(nll if isinstance(metric, Perplexity) else right)
    return {"nll": mean_of_texts(nll, counts), "tokens": counts.sum(dim=1)}


def token_inputs(batch: Batch) -> dict[str, Tensor]:
    """Return the input of a batch of texts: tokens and masks by name, each ``(B, T)``."""
    found = batch["input"]
    assert not isinstance(found, Tensor)
    return {name: as_tensor(part) for name, part in found.items()}


def write(task: Task, how: Writing, x: Mapping[str, Tensor], begin: Mapping[str, int] | None = None) -> Tensor:
    """Generate tokens ``(B, S)`` with a task's backbone and its head's ``lm_head``.

    Args:
        task: The task.
        how: Search and length.
        x: Inputs with ``input_ids`` and ``attention_mask`` ``(B, T)``.
        begin: First generated token, under the library's names for it; ``None`` for the model's.
    """
    backbone, lm_head = task.backbone, task.get_submodule("head.lm_head")
    assert isinstance(backbone, Generator)  # only language models have the attention that such tasks need
    return backbone.write(lm_head, x, max_new_tokens=how.max_new_tokens, num_beams=how.num_beams, begin=begin)

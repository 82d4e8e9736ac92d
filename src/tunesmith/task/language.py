"""What tasks have in common in which a language model gives the tokens of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from tunesmith.contract.batch import IGNORED
from tunesmith.contract.protocols import Backbone
from tunesmith.modality.base import of
from tunesmith.task.metric.perplexity import Perplexity, TokenAccuracy, mean_of_texts
from tunesmith.task.sequence import aligned

KINDS = {
    "bidirectional": "an encoder, such as BERT",
    "causal": "a decoder, such as GPT-2",
    "encoder_decoder": "an encoder-decoder, such as T5",
}
"""Kinds of language models, by how they read."""


def attention_mistakes(backbone: Backbone, attention: str) -> Iterator[str]:
    """Say so where a backbone reads otherwise than a task wants."""
    own = backbone.preprocess.attention
    if own != attention:
        fits = {"bidirectional": "masked_lm", "causal": "causal_lm", "encoder_decoder": "seq2seq"}
        way = f"; use task={fits[own]}" if own in fits else ""
        got = KINDS.get(own, f"a backbone for {of(backbone.preprocess.modality).plural}")
        yield f"Expected {KINDS[attention]} for this task but got {got}{way}."


def metric_mistakes(metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Name the metrics of classes, since a vocabulary is no list of them."""
    for name, metric in metrics.items():
        if not isinstance(metric, Perplexity | TokenAccuracy):
            yield (
                f"Expected task.metrics.{name} to be Perplexity or TokenAccuracy but got {type(metric).__name__}, "
                "which is of classes; leave it out."
            )


@torch.no_grad()
def score_tokens(metrics: Sequence[Metric], outputs: Tensor, target: Tensor) -> dict[str, Any]:
    """Update metrics of tokens.

    Args:
        metrics: Those that there are.
        outputs: ``(B, T, K)``; or of those alone that count, ``(M, K)``.
        target: ``(B, T')``, T' at most T.

    Returns:
        The mean negative log-likelihood of each text's tokens ``(B,)``, and how many count ``(B,)``.
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

"""Classify each word of a text, such as whether it names a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch, Outputs
from tunesmith.task.kind import as_tensor
from tunesmith.task.metric.entity import EntityScore
from tunesmith.task.metric.metric import OfSequences, takes_labels
from tunesmith.task.sequence import SequenceTask, parted, whole


@final
class TokenClassification(SequenceTask):
    """Token classification: outputs ``(B, T, K)`` are logits of tags; a word's tag is that of its first token.

    A word without a token, because its text was truncated, is not part of the loss. Metrics of whole texts
    (`OfSequences`) count it as not predicted, all others skip it.
    """

    targets = ("tags",)

    def of_tokens(self, batch: Batch) -> Tensor:
        """See `SequenceTask.of_tokens`."""
        return _part(batch, "tokens")

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert logits to class probabilities ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def score(self, metrics: MetricCollection, outputs: Outputs, batch: Batch) -> dict[str, object]:
        """Update metrics with all words; keep their probabilities ``(W, K)``, 0 without a token, and tags ``(W,)``."""
        predictions, sizes = self._of_words(as_tensor(outputs), batch)
        words = _part(batch, "words")
        truth = words[words != IGNORED]
        _update(metrics, predictions, truth, torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes))
        return {"predictions": parted(predictions, sizes), "target": parted(truth, sizes)}

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, object]:
        """Return the probabilities of each text's words ``(W, K)``, and index ``(B,)``."""
        outputs = as_tensor(self(batch["input"]))
        return {"predictions": parted(*self._of_words(outputs, batch)), "index": batch["index"]}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, object]) -> str | None:
        """Predict the tag that is most common in train for every word; see `Kind.baseline`."""
        common = max(range(len(self.spec.class_names)), key=self.spec.train_counts.__getitem__)
        truth, text = whole(found["target"])
        said = torch.zeros(len(truth), len(self.spec.class_names))
        said[:, common] = 1
        _update(metrics, said, truth, text)
        return self.spec.class_names[common]

    @property
    def scheme(self) -> str | None:
        """How tags mark the start of an entity; see `Kind.scheme`."""
        scores = (metric for metric in self.test_metrics.values(copy_state=False) if isinstance(metric, EntityScore))
        return next((metric.scheme for metric in scores), None)

    def _of_words(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return probabilities of all words ``(M, K)``, 0 without a token, and the number of words of each text."""
        words = _part(batch, "starts")
        rows = torch.arange(len(words), device=words.device).unsqueeze(1)
        said = self.predictions(outputs[rows, words.clamp_min(0)].flatten(0, 1)).view(*words.shape, outputs.shape[-1])
        said = said * (words >= 0).unsqueeze(2)
        there = words != IGNORED
        return said[there], there.sum(dim=1)


def _part(batch: Batch, name: str) -> Tensor:
    target = batch["target"]
    assert isinstance(target, Mapping)
    return as_tensor(target[name])


def _update(metrics: MetricCollection, predictions: Tensor, truth: Tensor, text: Tensor) -> None:
    """Update metrics with words: probabilities ``(M, K)``, tags ``(M,)``, and each word's text by number ``(M,)``."""
    said = predictions.sum(dim=1) > 0
    labels = torch.where(said, predictions.argmax(dim=1), -1)
    for metric in metrics.values(copy_state=False):
        if isinstance(metric, OfSequences):
            metric.update(labels, truth, text)
        elif said.any():
            metric.update((labels if takes_labels(metric) else predictions)[said], truth[said])

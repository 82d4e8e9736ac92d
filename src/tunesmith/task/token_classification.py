"""A class for each word of a text, such as whether it names a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch
from tunesmith.task.metric.entity import EntityScore
from tunesmith.task.metric.metric import OfSequences, takes_labels
from tunesmith.task.sequence import SequenceTask, parted, whole


@final
class TokenClassification(SequenceTask):
    """Token classification: outputs ``(B, T, K)`` are logits of each token's tag; a word has that of its first token.

    A word without a token, since its text was cut, is no part of the loss. Metrics of whole texts (`OfSequences`) take
    it as one of which nothing was said, all others leave it out.
    """

    targets = ("tags",)

    def of_tokens(self, batch: Batch) -> Tensor:
        """See `SequenceTask.of_tokens`."""
        return _part(batch, "tokens")

    def predict(self, outputs: Tensor) -> Tensor:
        """Class probabilities ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def score(self, metrics: MetricCollection, outputs: Tensor, batch: Batch) -> dict[str, Any]:
        """Update metrics with all words; keep their probabilities ``(W, K)``, 0 without a token, and tags ``(W,)``."""
        predictions, sizes = self._of_words(outputs, batch)
        words = _part(batch, "words")
        truth = words[words != IGNORED]
        _update(metrics, predictions, truth, torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes))
        return {"predictions": parted(predictions, sizes), "target": parted(truth, sizes)}

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Probabilities of each text's words ``(W, K)``, and index ``(B,)``."""
        return {"predictions": parted(*self._of_words(self(batch["input"]), batch)), "index": batch["index"]}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, Any]) -> str | None:
        """The tag that is commonest in train, for every word."""
        common = max(range(len(self.spec.class_names)), key=self.spec.train_counts.__getitem__)
        truth, text = whole(found["target"])
        said = torch.zeros(len(truth), len(self.spec.class_names))
        said[:, common] = 1
        _update(metrics, said, truth, text)
        return self.spec.class_names[common]

    @property
    def scheme(self) -> str | None:
        """How tags say where an entity begins; see `Kind.scheme`."""
        scores = (metric for metric in self.test_metrics.values(copy_state=False) if isinstance(metric, EntityScore))
        return next((metric.scheme for metric in scores), None)

    def _of_words(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Probabilities of all words ``(M, K)``, 0 where there is no token, and the number of words of each text."""
        words = _part(batch, "starts")
        rows = torch.arange(len(words), device=words.device).unsqueeze(1)
        said = self.predictions(outputs[rows, words.clamp_min(0)].flatten(0, 1)).view(*words.shape, outputs.shape[-1])
        said = said * (words >= 0).unsqueeze(2)
        there = words != IGNORED
        return said[there], there.sum(dim=1)


def _part(batch: Batch, name: str) -> Tensor:
    target: Any = batch["target"]
    part: Tensor = target[name]
    return part


def _update(metrics: MetricCollection, predictions: Tensor, truth: Tensor, text: Tensor) -> None:
    """Update metrics with words: probabilities ``(M, K)``, tags ``(M,)`` and a number for each text ``(M,)``."""
    said = predictions.sum(dim=1) > 0
    labels = torch.where(said, predictions.argmax(dim=1), -1)
    for metric in metrics.values(copy_state=False):
        if isinstance(metric, OfSequences):
            metric.update(labels, truth, text)
        elif said.any():
            metric.update((labels if takes_labels(metric) else predictions)[said], truth[said])

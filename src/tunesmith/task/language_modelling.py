"""Texts themselves: the next token of each, or those that are hidden."""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from tunesmith.contract.batch import IGNORED, Batch
from tunesmith.errors import raise_together
from tunesmith.task.base import Stage
from tunesmith.task.kind import Counted
from tunesmith.task.language import attention_mistakes, metric_mistakes, score_tokens
from tunesmith.task.loss.term import Term
from tunesmith.task.sequence import SequenceTask
from tunesmith.task.writing import Writing


@final
class LanguageModelling(SequenceTask):
    """Language modelling: outputs ``(B, T, K)`` are logits of each token, K the vocabulary.

    A decoder gives the next token, and a prediction goes on with a text; an encoder gives the tokens that are hidden,
    and a prediction puts words in the place of a text's masks.

    Args:
        attention: Whether the task is for a decoder or an encoder.
        generate: How a decoder goes on.
        **common: Arguments of `Task`.

    Raises:
        ConfigError: The backbone is of another kind, or a metric is of classes.
    """

    targets = ("tokens",)

    def __init__(
        self,
        *,
        attention: Literal["causal", "bidirectional"] = "causal",
        generate: Writing | None = None,
        **common: Any,
    ) -> None:
        raise_together([*attention_mistakes(common["backbone"], attention), *metric_mistakes(common["metrics"])])
        super().__init__(**common)
        self.attention = attention
        self.generate = generate or Writing()

    def predict(self, outputs: Tensor) -> Tensor:
        """Probabilities of tokens ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def step(self, batch: Batch, stage: Stage, outputs: Any = None) -> tuple[dict[str, Term], dict[str, Any]]:
        """Take the outputs of an encoder for the tokens that count alone, where it can; see `Task.step`."""
        if self.attention == "bidirectional" and (stage == "train" or self.trainer.world_size == 1):
            # Outputs of words that nothing hides would be of no use: six of seven, each as long as the vocabulary.
            features = self.features(batch["input"])
            tokens: Any = features.tokens
            outputs = self.head(features._replace(tokens=tokens[self.of_tokens(batch) != IGNORED]))
        return super().step(batch, stage, outputs)

    def counted(self, outputs: Tensor, batch: Batch) -> Counted:
        """The positions that count; of outputs ``(M, K)`` all do. See `SequenceTask.counted`."""
        if outputs.ndim == 3:
            return super().counted(outputs, batch)
        target, weight = self.of_tokens(batch), batch.get("weight")
        counts = target != IGNORED
        spread = None if weight is None else weight.unsqueeze(1).expand_as(counts)[counts]
        return Counted(outputs, target[counts], spread)

    def score(self, metrics: MetricCollection, outputs: Tensor, batch: Batch) -> dict[str, Any]:
        """Update metrics; keep of each text the mean negative log-likelihood of its tokens, and their number."""
        wanted = list(metrics.values(copy_state=False))
        return (
            score_tokens(wanted, outputs, self.of_tokens(batch)) if wanted else {}
        )  # in training there are mostly none

    @torch.no_grad()
    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """What each text becomes, and index ``(B,)``."""
        x: Any = batch["input"]
        tokenizer = self.trainer.datamodule.tokenizer  # type: ignore[attr-defined]  # set by a connector
        if self.attention == "causal":
            tokens = self.backbone.write(self.head.lm_head, x, **self.generate.options())
        else:
            hidden = x["input_ids"] == tokenizer.mask
            tokens = torch.where(hidden, self(x).argmax(dim=2), x["input_ids"])
        return {"predictions": [tokenizer.text(row) for row in tokens.tolist()], "index": batch["index"]}

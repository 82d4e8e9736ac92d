"""Model texts themselves: predict the next token, or hidden ones."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from typing_extensions import Unpack

from tunesmith.contract.batch import IGNORED, Batch, Outputs
from tunesmith.errors import raise_together
from tunesmith.task.kind import Counted, Stage, TaskArguments, as_tensor
from tunesmith.task.language import attention_mistakes, metric_mistakes, score_tokens, token_inputs, write
from tunesmith.task.loss.term import Term
from tunesmith.task.sequence import SequenceTask
from tunesmith.task.writing import Writing


@final
class LanguageModelling(SequenceTask):
    """Language modelling: outputs ``(B, T, K)`` are logits of each token, K the vocabulary size.

    A decoder predicts the next token, and a prediction continues the text; an encoder predicts hidden tokens, and a
    prediction fills in a text's masks.

    Args:
        attention: Whether the task is for a decoder (``causal``) or an encoder (``bidirectional``).
        generate: How a decoder continues a text.
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
        **common: Unpack[TaskArguments],
    ) -> None:
        raise_together([*attention_mistakes(common["backbone"], attention), *metric_mistakes(common["metrics"])])
        super().__init__(**common)
        self.attention = attention
        self.generate = generate or Writing()

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert logits to token probabilities ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def step(
        self, batch: Batch, stage: Stage, outputs: Outputs | None = None
    ) -> tuple[dict[str, Term], dict[str, object]]:
        """Compute an encoder's outputs only for the tokens that count, if possible; see `Task.step`."""
        if self.attention == "bidirectional" and (stage == "train" or self.trainer.world_size == 1):
            # Six of seven outputs would be of words that nothing hides, each as long as the vocabulary.
            features = self.features(batch["input"])
            tokens = as_tensor(features.tokens)
            outputs = self.head(features._replace(tokens=tokens[self.of_tokens(batch) != IGNORED]))
        return super().step(batch, stage, outputs)

    def counted(self, outputs: Outputs, batch: Batch) -> Counted:
        """Select the positions that count; all of outputs ``(M, K)`` do. See `SequenceTask.counted`."""
        found = as_tensor(outputs)
        if found.ndim == 3:
            return super().counted(found, batch)
        target, weight = self.of_tokens(batch), batch.get("weight")
        counts = target != IGNORED
        spread = None if weight is None else weight.unsqueeze(1).expand_as(counts)[counts]
        return Counted(found, target[counts], spread)

    def score(self, metrics: MetricCollection, outputs: Outputs, batch: Batch) -> dict[str, object]:
        """Update metrics; keep each text's mean negative log-likelihood per token, and its number of tokens."""
        wanted = list(metrics.values(copy_state=False))
        # Training mostly has none.
        return score_tokens(wanted, as_tensor(outputs), self.of_tokens(batch)) if wanted else {}

    @torch.no_grad()
    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, object]:
        """Return the continued or completed texts, and index ``(B,)``."""
        x, vocabulary = token_inputs(batch), self.vocabulary
        assert vocabulary is not None  # data of texts have one
        if self.attention == "causal":
            tokens = write(self, self.generate, x)
        else:
            tokens = x["input_ids"]
            hidden = tokens == (-1 if vocabulary.mask is None else vocabulary.mask)
            tokens = torch.where(hidden, as_tensor(self(x)).argmax(dim=2), tokens)
        return {"predictions": [vocabulary.text(row) for row in tokens.tolist()], "index": batch["index"]}

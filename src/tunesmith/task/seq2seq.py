"""Generate a text from a text, such as its summary or its translation."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from typing_extensions import Unpack

from tunesmith.contract.batch import Batch, Outputs
from tunesmith.errors import ConfigError, raise_together
from tunesmith.task.kind import TaskArguments, as_tensor
from tunesmith.task.language import attention_mistakes, metric_mistakes, score_tokens, token_inputs, write
from tunesmith.task.metric.text_metric import OfTexts
from tunesmith.task.sequence import SequenceTask
from tunesmith.task.writing import Writing


@final
class Seq2Seq(SequenceTask):
    """Sequence-to-sequence generation: outputs ``(B, S, K)`` are logits of the tokens of the target text.

    In training, and for the loss, the decoder reads the target text, one token behind (teacher forcing). For metrics of
    texts it generates on its own.

    Args:
        generate: How to generate, and how many texts of validation.
        **common: Arguments of `Task`.

    Raises:
        ConfigError: The backbone is no encoder-decoder, or a metric is of classes, or monitored but never computed.
    """

    targets = ("text",)
    attention: str = "encoder_decoder"

    def __init__(self, *, generate: Writing | None = None, **common: Unpack[TaskArguments]) -> None:
        of_texts = {name: metric for name, metric in common["metrics"].items() if isinstance(metric, OfTexts)}
        others = {name: metric for name, metric in common["metrics"].items() if name not in of_texts}
        raise_together([*attention_mistakes(common["backbone"], self.attention), *metric_mistakes(others)])
        super().__init__(**common)
        self.generate = generate or Writing(samples=128)
        monitored = (self.monitor or "").rpartition("/")[2]
        if monitored in of_texts:
            self.train_metrics = MetricCollection({}, prefix="train/")  # training generates no texts
        if self.generate.samples == 0:
            if monitored in of_texts:
                raise ConfigError(
                    f"Expected validation texts to be generated for task.monitor={self.monitor} but got "
                    "task.generate.samples=0; give a number, or use task.monitor=val/loss."
                )
            self.val_metrics = MetricCollection({**others}, compute_groups=False).clone(prefix="val/")
        self._written = 0

    def on_validation_epoch_start(self) -> None:
        """Start again with the first texts of the split."""
        self._written = 0

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert logits to token probabilities ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def score(self, metrics: MetricCollection, outputs: Outputs, batch: Batch) -> dict[str, object]:
        """Update metrics; of a test keep generated and true texts, and each text's mean token loss ``(B,)``."""
        of_texts = [metric for metric in metrics.values(copy_state=False) if isinstance(metric, OfTexts)]
        others = [metric for metric in metrics.values(copy_state=False) if not isinstance(metric, OfTexts)]
        if metrics is self.train_metrics and not others:
            return {}
        kept = score_tokens(others, as_tensor(outputs), self.of_tokens(batch))
        if metrics is self.train_metrics:
            return kept
        count = len(batch["index"])
        if metrics is not self.test_metrics and self.generate.samples is not None:
            count = min(count, max(0, -(-self.generate.samples // self.trainer.world_size) - self._written))
            self._written += count
        # From the tokens: the cache may serve activations in place of the batch's input.
        tokens, truth = (list(batch["meta"][name][:count]) for name in ("pair", "reference"))
        assert self.vocabulary is not None  # data of texts have one
        padded = self.vocabulary.pad(tokens) if tokens else {}
        said = self._write({name: tensor.to(self.device) for name, tensor in padded.items()}) if tokens else []
        for metric in of_texts:
            metric.update(said, truth)
        return kept | {"written": said, "truth": truth}

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, object]:
        """Return the generated text of each sample, and index ``(B,)``."""
        return {"predictions": self._write(token_inputs(batch)), "index": batch["index"]}

    @torch.no_grad()
    def _write(self, x: dict[str, Tensor]) -> list[str]:
        assert self.vocabulary is not None
        tokens = write(self, self.generate, x, begin=self.vocabulary.begin)
        return [self.vocabulary.text(row) for row in tokens.tolist()]

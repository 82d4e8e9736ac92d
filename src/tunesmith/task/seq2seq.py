"""A text for a text, such as its summary or its translation."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from tunesmith.contract.batch import Batch
from tunesmith.errors import ConfigError, raise_together
from tunesmith.task.language import attention_mistakes, metric_mistakes, score_tokens
from tunesmith.task.metric.text_metric import OfTexts
from tunesmith.task.sequence import SequenceTask
from tunesmith.task.writing import Writing


@final
class Seq2Seq(SequenceTask):
    """Summarisation, translation and their like: outputs ``(B, S, K)`` are logits of the tokens that are to be written.

    In training, and for the loss, the decoder reads what is to be written, a token behind (teacher forcing). For the
    metrics of texts it writes by itself.

    Args:
        generate: How it writes, and how many texts of validation.
        **common: Arguments of `Task`.

    Raises:
        ConfigError: The backbone is no encoder-decoder, or a metric is of classes, or monitored but never computed.
    """

    targets = ("text",)
    attention: str = "encoder_decoder"

    def __init__(self, *, generate: Writing | None = None, **common: Any) -> None:
        of_texts = {name: metric for name, metric in common["metrics"].items() if isinstance(metric, OfTexts)}
        others = {name: metric for name, metric in common["metrics"].items() if name not in of_texts}
        raise_together([*attention_mistakes(common["backbone"], self.attention), *metric_mistakes(others)])
        super().__init__(**common)
        self.generate = generate or Writing(samples=128)
        monitored = (self.monitor or "").rpartition("/")[2]
        if monitored in of_texts:
            self.train_metrics = MetricCollection({}, prefix="train/")  # nothing is written in training
        if self.generate.samples == 0:
            if monitored in of_texts:
                raise ConfigError(
                    f"Expected texts of validation to be written for task.monitor={self.monitor} but got "
                    "task.generate.samples=0; give a number, or use task.monitor=val/loss."
                )
            left = {name: metric for name, metric in common["metrics"].items() if name not in of_texts}
            self.val_metrics = MetricCollection(left, compute_groups=False).clone(prefix="val/")
        self._written = 0

    def on_validation_epoch_start(self) -> None:
        """Begin with the first texts of the split."""
        self._written = 0

    def predict(self, outputs: Tensor) -> Tensor:
        """Probabilities of tokens ``(…, K)`` in float32."""
        return outputs.float().softmax(dim=-1)

    def score(self, metrics: MetricCollection, outputs: Tensor, batch: Batch) -> dict[str, Any]:
        """Update metrics; of a test keep what was written, what was to be, and the mean loss of its tokens ``(B,)``."""
        of_texts = [metric for metric in metrics.values(copy_state=False) if isinstance(metric, OfTexts)]
        others = [metric for metric in metrics.values(copy_state=False) if not isinstance(metric, OfTexts)]
        if metrics is self.train_metrics and not others:
            return {}
        kept = score_tokens(others, outputs, self.of_tokens(batch))
        if metrics is self.train_metrics:
            return kept
        rows = batch["index"].tolist()
        samples = None if metrics is self.test_metrics else self.generate.samples
        if samples is not None:
            rows = rows[: max(0, -(-samples // self.trainer.world_size) - self._written)]
            self._written += len(rows)
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set by a connector
        said, truth = self._write(data.inputs(rows, self.device)) if rows else [], [data.table.targets[r] for r in rows]
        for metric in of_texts:
            metric.update(said, truth)
        return kept | {"written": said, "truth": truth}

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """What is written of each text, and index ``(B,)``."""
        return {"predictions": self._write(batch["input"]), "index": batch["index"]}

    @torch.no_grad()
    def _write(self, x: Any) -> list[str]:
        tokenizer = self.trainer.datamodule.tokenizer  # type: ignore[attr-defined]
        tokens = self.backbone.write(self.head.lm_head, x, **self.generate.options(), begin=tokenizer.begin)
        return [tokenizer.text(row) for row in tokens.tolist()]

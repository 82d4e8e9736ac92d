"""Answer questions with spans of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from typing_extensions import Unpack

from tunesmith.contract.batch import Activations, Batch, Inputs, Outputs
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import ConfigError
from tunesmith.task.kind import Counted, TaskArguments, as_tensor
from tunesmith.task.metric.answer import AnswerScore, best_spans
from tunesmith.task.sequence import SequenceTask


@final
class QuestionAnswering(SequenceTask):
    """Extractive question answering: outputs ``(B, T, 2)`` are logits of an answer's first and last token.

    The loss is the mean of two cross-entropies over the tokens of a window, without padding, so that it does not depend
    on the rest of the batch. An answer is the best pair of tokens among all windows of its question; if questions may
    have no answer, the first token of each window stands for none.

    Args:
        max_answer: Maximum number of tokens of an answer.
        null_threshold: By how much the score of no answer must exceed that of the best answer.
        **common: Arguments of `Task`.

    Raises:
        ConfigError: ``max_answer`` is out of range, or the loss smooths labels or weighs classes.
    """

    targets = ("span",)

    def __init__(self, *, max_answer: int = 30, null_threshold: float = 0.0, **common: Unpack[TaskArguments]) -> None:
        super().__init__(**common)
        if max_answer < 1:
            raise ConfigError(f"Expected task.max_answer to be at least 1 token but got {max_answer}.")
        if getattr(self.loss, "label_smoothing", 0):
            raise ConfigError("Expected loss.label_smoothing=0 for answers but got more: padding would count.")
        if any(getattr(self.loss, name, None) is not None for name in ("weight", "shift")):
            raise ConfigError(
                "Expected no loss.class_weight and no loss.logit_adjustment for answers, which have no classes."
            )
        self.max_answer = max_answer
        self.null_threshold = null_threshold

    @classmethod
    def num_outputs(cls, spec: DataSpec) -> int:
        """Return 2, for start and end."""
        return 2

    @property
    def answers_nothing(self) -> bool:
        """Whether a question may have no answer."""
        return len(self.spec.class_names) > 1

    def forward(self, x: Inputs | Activations) -> Tensor:
        """Map texts to outputs ``(B, T, 2)``, with the dtype's lowest number at padding."""
        features = self.features(x)
        outputs = as_tensor(self.head(features))
        if features.mask is None:
            return outputs
        return outputs.masked_fill(features.mask.unsqueeze(2) == 0, torch.finfo(outputs.dtype).min)

    def counted(self, outputs: Outputs, batch: Batch) -> Counted:
        """Stack all starts and then all ends ``(2 B, T)``, each a choice between the tokens."""
        weight = batch.get("weight")
        both = torch.cat(as_tensor(outputs).unbind(2))
        return Counted(both, _parts(batch)["span"].T.flatten(), None if weight is None else weight.repeat(2))

    def count(self, batch: Batch) -> int:
        """Return the number of windows."""
        return len(batch["index"])

    def predict(self, outputs: Tensor) -> Tensor:
        """Convert outputs to float32."""
        return outputs.float()

    def score(self, metrics: MetricCollection, outputs: Outputs, batch: Batch) -> dict[str, object]:
        """Update metrics; keep each window's answer, and the accepted answers."""
        found = self._said(as_tensor(outputs), batch) | {"answers": batch["meta"]["answers"]}
        _update(metrics, found)
        return found

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, object]:
        """Return each window's answer, and index ``(B,)``."""
        return self._said(self(batch["input"]), batch) | {"index": batch["index"]}

    def baseline(self, metrics: MetricCollection, found: Mapping[str, object]) -> str | None:
        """Predict no answer, if questions may have none; see `Kind.baseline`."""
        if not self.answers_nothing:
            return None
        _update(metrics, {**found, "null": torch.full_like(as_tensor(found["null"]), torch.inf)})
        return "no answer"

    def _said(self, outputs: Tensor, batch: Batch) -> dict[str, object]:
        """Return the best answer of each window, its score and probability, and the score of no answer ``(B,)``."""
        begins, ends, question = (_parts(batch)[name] for name in ("begins", "ends", "question"))
        length = begins.shape[1]  # cached features are padded further
        outputs = outputs[:, :length].float()
        best = best_spans(outputs, begins >= 0, self.max_answer)
        rows = torch.arange(len(outputs), device=outputs.device)
        chances = outputs.log_softmax(dim=1)
        sure = (chances[rows, best.first, 0] + chances[rows, best.last, 1]).exp()
        begin, end = begins[rows, best.first], ends[rows, best.last]
        null = outputs[:, 0].sum(dim=1) - self.null_threshold
        texts = [c[a:b] for c, a, b in zip(batch["meta"]["context"], begin.tolist(), end.tolist(), strict=True)]
        return {
            "question": question,
            "best": best.score,
            "null": null if self.answers_nothing else torch.full_like(null, -torch.inf),
            "sure": sure,
            "begin": begin,
            "end": end,
            "said": texts,
        }


def _parts(batch: Batch) -> Mapping[str, Tensor]:
    target = batch["target"]
    assert isinstance(target, Mapping)
    return {name: as_tensor(part) for name, part in target.items()}


def _update(metrics: MetricCollection, found: Mapping[str, object]) -> None:
    for name, metric in metrics.items(copy_state=False):
        if not isinstance(metric, AnswerScore):
            raise ConfigError(f"Expected task.metrics.{name} to be an AnswerScore but got {type(metric).__name__}.")
        said, answers = found["said"], found["answers"]
        assert isinstance(said, list) and isinstance(answers, list)
        question, best, null = (as_tensor(found[key]) for key in ("question", "best", "null"))
        metric.update(question, best, null, said, answers)

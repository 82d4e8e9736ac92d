from __future__ import annotations

import re

import pytest
import torch
from torchmetrics import MeanSquaredError

from tunesmith.contract.batch import IGNORED
from tunesmith.modality.image import ImagePreprocess
from tunesmith.modality.text import TextPreprocess
from tunesmith.task.language import attention_mistakes, metric_mistakes, score_tokens


def test_a_target_shorter_than_the_outputs_that_the_cache_padded():
    outputs, target = torch.randn(2, 6, 9), torch.tensor([[1, 2], [3, IGNORED]])
    assert torch.allclose(score_tokens([], outputs, target)["nll"], score_tokens([], outputs[:, :2], target)["nll"])


class Of:
    def __init__(self, attention):
        self.preprocess = TextPreprocess("bert", "", "", 8, 9, attention) if attention else ImagePreprocess()


@pytest.mark.parametrize(
    ("attention", "wanted", "sentence"),
    [
        (
            "bidirectional",
            "causal",
            r"a decoder, such as GPT-2 .* but got an encoder, such as BERT; use task=masked_lm",
        ),
        ("encoder_decoder", "bidirectional", r"an encoder, such as BERT .* use task=seq2seq"),
        (None, "encoder_decoder", r"an encoder-decoder, such as T5 for this task but got a backbone for images"),
    ],
)
def test_another_kind_of_model_is_refused(attention, wanted, sentence):
    (found,) = attention_mistakes(Of(attention), wanted)
    assert re.search(rf"^Expected {sentence}\.$", found)


def test_metrics_of_classes_are_refused():
    (found,) = metric_mistakes({"x": MeanSquaredError()})
    assert found.startswith("Expected task.metrics.x to be Perplexity or TokenAccuracy but got Mean")

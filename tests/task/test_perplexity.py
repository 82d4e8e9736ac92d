from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tunesmith.contracts import IGNORED
from tunesmith.errors import ConfigError
from tunesmith.task.language import check_metrics, check_reads, score_tokens
from tunesmith.task.perplexity import Perplexity, TokenAccuracy
from tunesmith.task.writing import Writing


def test_perplexity_is_of_all_tokens_and_no_mean_of_means():
    torch.manual_seed(0)
    metrics, losses, rights = [Perplexity(), TokenAccuracy()], [], []
    for count in (7, 2, 5):  # steps, as processes, have different numbers of tokens
        outputs, target = torch.randn(2, 6, 9), torch.randint(9, (2, 6))
        target.flatten()[count:] = IGNORED
        kept = score_tokens(metrics, outputs, target)
        counts = target != IGNORED
        losses.append(F.cross_entropy(outputs[counts], target[counts], reduction="none"))
        rights.append(outputs[counts].argmax(1) == target[counts])
        assert kept["tokens"].tolist() == counts.sum(1).tolist()
        assert float((kept["nll"] * kept["tokens"]).sum()) == pytest.approx(float(losses[-1].sum()), rel=1e-5)
    assert float(metrics[0].compute()) == pytest.approx(math.exp(torch.cat(losses).mean()), rel=1e-5)
    assert float(metrics[1].compute()) == pytest.approx(float(torch.cat(rights).float().mean()))
    assert float(metrics[0].compute()) != pytest.approx(float(sum(x.mean().exp() for x in losses) / 3), rel=1e-3)


def test_a_target_shorter_than_the_outputs_that_the_cache_padded():
    outputs, target = torch.randn(2, 6, 9), torch.tensor([[1, 2], [3, IGNORED]])
    assert torch.allclose(score_tokens([], outputs, target)["nll"], score_tokens([], outputs[:, :2], target)["nll"])


class Of:
    def __init__(self, reads):
        self.preprocess = type("P", (), {"reads": reads} if reads else {})()


@pytest.mark.parametrize(
    ("reads", "wanted", "sentence"),
    [
        ("both_ways", "forward", r"a decoder, such as GPT-2 .* but got an encoder, such as BERT; use task=masked_lm"),
        ("in_two_stacks", "both_ways", r"an encoder, such as BERT .* use task=seq2seq"),
        (None, "in_two_stacks", r"an encoder-decoder, such as T5 for this task but got a backbone for pictures"),
    ],
)
def test_another_kind_of_model_is_refused(reads, wanted, sentence):
    with pytest.raises(ConfigError, match=rf"^Expected {sentence}\.$"):
        check_reads(Of(reads), wanted)


def test_metrics_of_classes_are_refused():
    with pytest.raises(ConfigError, match=r"^Expected task.metrics.x to be Perplexity or TokenAccuracy but got Mean"):
        from torchmetrics import MeanSquaredError

        check_metrics({"x": MeanSquaredError()})


@pytest.mark.parametrize(("name", "value"), [("max_new_tokens", 0), ("num_beams", 0), ("samples", -1)])
def test_numbers_of_writing(name, value):
    with pytest.raises(ConfigError, match=rf"^Expected task.generate.{name} to be at least \d but got {value}"):
        Writing(**{name: value})

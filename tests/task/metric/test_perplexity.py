from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tunesmith.contract.batch import IGNORED
from tunesmith.task.language import score_tokens
from tunesmith.task.metric.perplexity import Perplexity, TokenAccuracy


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

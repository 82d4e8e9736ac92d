import math

import pytest
import torch
from torch.nn import functional as F

from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.cosine import Cosine


def test_outputs_are_scaled_cosines():
    head, pooled = Cosine(6, 3, scale=4.0), torch.randn(5, 6)
    outputs = head(Features(pooled))
    expected = F.cosine_similarity(pooled.unsqueeze(1), head.weight.unsqueeze(0), dim=2)
    assert torch.allclose(outputs, 4 * expected, atol=1e-6)


def test_lengths_do_not_matter():
    head, pooled = Cosine(6, 3), torch.randn(5, 6)
    assert torch.allclose(head(Features(pooled)), head(Features(100 * pooled)), atol=1e-5)


@pytest.mark.parametrize("learn", [True, False])
def test_the_scale_is_learned_or_not_and_saved_either_way(learn):
    head = Cosine(6, 3, scale=7.0, learn_scale=learn)
    head(Features(torch.randn(5, 6))).sum().backward()
    names = [name for name, p in head.named_parameters() if p.grad is not None]
    assert names == (["weight", "log_scale"] if learn else ["weight"])
    assert head.state_dict()["log_scale"].exp().item() == pytest.approx(7.0)


def test_the_first_loss_is_about_log_k():
    torch.manual_seed(0)
    loss = F.cross_entropy(Cosine(1280, 10)(Features(torch.randn(64, 1280))), torch.arange(64) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=0.2)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_is_positive(scale):
    with pytest.raises(ConfigError, match=r"head.scale to be positive"):
        Cosine(6, 3, scale=scale)

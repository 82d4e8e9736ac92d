import math

import pytest
import torch
from torch.nn import functional as F

from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.linear import Linear


def test_pooled_features_become_outputs():
    head = Linear(feature_dim=6, num_outputs=3)
    pooled = torch.randn(4, 6)
    outputs = head(Features(pooled))
    assert outputs.shape == (4, 3)
    assert torch.equal(outputs, F.linear(pooled, head.output.weight, head.output.bias))
    assert sorted(head.state_dict()) == ["output.bias", "output.weight"]


def test_first_outputs_are_nearly_equal():
    torch.manual_seed(0)
    loss = F.cross_entropy(Linear(1280, 10)(Features(torch.randn(64, 1280))), torch.arange(64) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=0.15)


def test_dropout_is_for_training_only():
    head, features = Linear(100, 2, dropout=0.5), Features(torch.randn(4, 100))
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_out_of_range(dropout):
    with pytest.raises(ConfigError, match=r"head.dropout"):
        Linear(4, 2, dropout=dropout)

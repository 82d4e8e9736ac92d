import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.mlp import MLP


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
@pytest.mark.parametrize("hidden", [[8], (16, 8)])
def test_pooled_features_become_outputs(hidden, norm):
    head = MLP(feature_dim=6, num_outputs=3, hidden=hidden, norm=norm)
    assert head(Features(torch.randn(4, 6))).shape == (4, 3)
    assert [m.out_features for m in head.modules() if isinstance(m, nn.Linear)] == [*hidden, 3]


def test_the_norm_is_the_one_asked_for():
    kinds = {norm: {type(m) for m in MLP(6, 3, norm=norm).modules()} for norm in ("layer", "batch", "none")}
    assert nn.LayerNorm in kinds["layer"]
    assert nn.BatchNorm1d in kinds["batch"]
    assert not {nn.LayerNorm, nn.BatchNorm1d} & kinds["none"]


def test_first_outputs_are_nearly_equal():
    torch.manual_seed(0)
    loss = F.cross_entropy(MLP(1280, 10)(Features(torch.randn(64, 1280))), torch.arange(64) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=0.15)


def test_it_fits_what_no_linear_head_can():
    torch.manual_seed(0)
    pooled = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(8, 1)
    target = torch.tensor([0, 1, 1, 0]).repeat(8)
    head = MLP(2, 2, hidden=[32], dropout=0.0)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(head(Features(pooled)), target).backward()
        optimizer.step()
    assert torch.equal(head(Features(pooled)).argmax(1), target)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"hidden": []}, r"head=linear"),
        ({"hidden": [8, 0]}, r"head.hidden.*\[8, 0\]"),
        ({"dropout": 1.0}, r"head.dropout"),
        ({"norm": "layr"}, r"Did you mean 'layer'"),
    ],
)
def test_arguments_out_of_range(arguments, named):
    with pytest.raises(ConfigError, match=named):
        MLP(4, 2, **arguments)

import pytest
import torch

from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.weighted_stages import WeightedStages


def test_it_begins_with_the_plain_mean_and_learns_which_level_matters():
    torch.manual_seed(0)
    target = torch.arange(64) % 2
    useless, useful = (
        torch.randn(64, 4),
        torch.randn(64, 4) + torch.where(target == 1, 2.0, -2.0)[:, None] * torch.eye(4)[0],
    )
    head = WeightedStages(4, 2, [4, 4])
    features = Features(useful, stage_features=(useless, useful))
    mean = torch.stack([torch.nn.functional.layer_norm(x, (4,)) for x in features.stage_features]).mean(0)
    assert torch.allclose(head(features), head.output(mean), atol=1e-6)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(features), target).backward()
        optimizer.step()
    assert head.mix.softmax(0)[1] > 0.8


def test_mistakes():
    with pytest.raises(ConfigError, match=r"stages of one width .* \[2, 4\]; use head=multi_stage"):
        WeightedStages(4, 2, [2, 4])
    with pytest.raises(ConfigError, match=r"head.dropout"):
        WeightedStages(4, 2, [4], dropout=1.0)

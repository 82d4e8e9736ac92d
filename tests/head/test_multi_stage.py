import math

import pytest
import torch
from torch.nn import functional as F

from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.multi_stage import MultiStage

DIMS = (4, 8, 16)


def features(batch=32):
    """Levels of very different scales."""
    levels = tuple(10.0**i * torch.randn(batch, width) + i for i, width in enumerate(DIMS))
    return Features(levels[-1], stage_features=levels)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_levels_become_outputs(norm):
    head = MultiStage(16, 3, DIMS, norm=norm)
    assert head(features()).shape == (32, 3)
    assert head.output.in_features == sum(DIMS)
    assert [name for name, _ in head.named_parameters()] == ["output.weight", "output.bias"]


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_levels_count_the_same_whatever_their_scale(norm):
    head, given = MultiStage(16, 3, DIMS, norm=norm), features()
    scaled = given._replace(stage_features=tuple(1000 * level for level in given.stage_features))
    assert torch.allclose(head(given), head(scaled), atol=1e-3)
    plain = MultiStage(16, 3, DIMS, norm="none")
    assert not torch.allclose(plain(given), plain(scaled), atol=1e-3)


def test_a_level_left_out_is_noticed():
    with pytest.raises(ValueError, match="zip"):
        MultiStage(16, 3, DIMS)(features()._replace(stage_features=features().stage_features[:-1]))


def test_the_first_loss_is_about_log_k():
    torch.manual_seed(0)
    loss = F.cross_entropy(MultiStage(16, 10, DIMS)(features(64)), torch.arange(64) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "named"), [({"dropout": -0.1}, "head.dropout"), ({"norm": "bach"}, r"Did you mean 'batch'")]
)
def test_arguments_out_of_range(arguments, named):
    with pytest.raises(ConfigError, match=named):
        MultiStage(16, 3, DIMS, **arguments)

import pytest
import torch
from torch.nn import functional as F

from tunesmith.contract.features import Features, Needs
from tunesmith.contract.protocols import FittedHead
from tunesmith.errors import ConfigError, DataError
from tunesmith.head.fitted import rotated
from tunesmith.head.linear import Linear
from tunesmith.head.logistic import Logistic
from tunesmith.head.ridge import Ridge

BOTH = pytest.mark.parametrize("kind", [Ridge, Logistic])


def samples(number=120, width=10, classes=3, seed=0):
    """Vectors with a scale and a mean of their own in each feature, and the class one-hot."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(number, width, generator=g)
    target = (x[:, :classes] + 0.3 * torch.randn(number, classes, generator=g)).argmax(1)
    return x * torch.logspace(-2, 3, width) + torch.arange(width), F.one_hot(target, classes).float()


@BOTH
def test_before_the_fit_nothing_is_said_and_after_it_the_truth(kind):
    x, target = samples()
    head = kind(10, 3)
    assert isinstance(head, FittedHead) and not isinstance(Linear(10, 3), FittedHead)
    assert not head(Features(x)).any()
    head.fit(x, target)
    assert (head(Features(x)).argmax(1) == target.argmax(1)).float().mean() > 0.8
    assert head.alpha > 0


@BOTH
def test_all_of_it_is_saved(kind):
    x, target = samples()
    head, again = kind(10, 3), kind(10, 3)
    head.fit(x, target)
    again.load_state_dict(head.state_dict())
    assert torch.equal(head(Features(x)), again(Features(x)))
    assert sorted(n for n, _ in head.named_parameters()) == ["output.bias", "output.weight"]


@BOTH
def test_scale_and_mean_of_a_feature_do_not_matter_and_a_constant_one_does_no_harm(kind):
    x, target = samples()
    plain, moved = kind(10, 3, alpha=1.0), kind(11, 3, alpha=1.0)
    plain.fit(x, target)
    other = torch.cat([3 * x + 5, torch.full((len(x), 1), 0.1)], dim=1)
    moved.fit(other, target)
    assert torch.allclose(plain(Features(x)), moved(Features(other)), atol=1e-4)


@BOTH
def test_a_weight_counts_as_so_many_samples(kind):
    x, target = samples(60)
    weight = torch.arange(60) % 3
    repeated, weighted = kind(10, 3, alpha=2.0), kind(10, 3, alpha=2.0)
    repeated.fit(x.repeat_interleave(weight, 0), target.repeat_interleave(weight, 0))
    weighted.fit(x, target, weight.float())
    assert torch.allclose(repeated(Features(x)), weighted(Features(x)), atol=1e-4)
    unweighted = kind(10, 3, alpha=2.0)
    unweighted.fit(x, target)
    assert not torch.allclose(unweighted(Features(x)), weighted(Features(x)), atol=1e-2)


@BOTH
def test_stage_features_stand_side_by_side(kind):
    x, target = samples()
    levels = (x[:, :4], x[:, 4:])
    head, plain = kind(6, 3, stage_dims=(4, 6), features="stage_features"), kind(10, 3, stage_dims=(4, 6))
    assert (head.needs, plain.needs) == (Needs(stage_features=True), Needs(pooled=True))
    head.fit(head.vectors(Features(x, stage_features=levels)), target)
    plain.fit(x, target)
    assert torch.equal(head(Features(x, stage_features=levels)), plain(Features(x)))


@BOTH
def test_half_precision_around_it_costs_nothing(kind):
    x, target = samples()
    head = kind(10, 3)
    head.fit(x, target)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(Features(x)), head.outputs(x))
        assert head(Features(x)).dtype == torch.float32


@BOTH
def test_features_that_are_not_finite_are_counted(kind):
    x, target = samples()
    x[3, 1], x[7, 2] = float("nan"), float("inf")
    with pytest.raises(DataError, match=r"2 of 120 samples.*trainer.precision"):
        kind(10, 3).fit(x, target)


@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
def test_a_rotation_loses_nothing(shape):
    x = torch.randn(shape, dtype=torch.float64)
    x[:, 3] = x[:, 4]  # a direction without data
    scores, axes = rotated(x)
    assert scores.shape[1] == min(19 if shape[0] > 20 else 20, *shape)
    assert torch.allclose(scores @ axes.T, x, atol=1e-7)
    assert torch.allclose(axes.T @ axes, torch.eye(axes.shape[1], dtype=x.dtype), atol=1e-7)
    gram = scores.T @ scores
    assert torch.allclose(gram, gram.diag().diag(), atol=1e-7)


@BOTH
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"alpha": -1.0}, r"head.alpha to be positive but got -1.0; auto"),
        ({"alpha": 0}, r"head.alpha to be positive"),
        ({"alpha": float("nan")}, r"head.alpha to be positive"),
        ({"alpha": "best"}, r"a number or auto but got 'best'"),
        ({"features": "stage_feature"}, r"Did you mean 'stage_features'"),
        ({"target": "ordinal"}, r"target is class or .* but got 'ordinal'"),
    ],
)
def test_arguments_out_of_range(kind, arguments, named):
    with pytest.raises(ConfigError, match=named):
        kind(10, 3, **arguments)

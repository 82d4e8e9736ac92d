import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from tunesmith.head.logistic import FOLDS, GRID, Logistic, _held_out


def samples(number, width, classes):
    torch.manual_seed(number + width)
    x = torch.randn(number, width) * torch.rand(width).mul(3).exp() + torch.randn(width)
    target = ((x - x.mean(0)) / x.std(0) @ torch.randn(width, classes) + 3 * torch.randn(number, classes)).argmax(1)
    return x, target, StandardScaler().fit_transform(x.double().numpy())


def theirs(standard, target, alpha, **fit):
    return LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=10_000).fit(standard, target, **fit)


@pytest.mark.parametrize("shape", [(200, 20, 3), (40, 90, 2), (300, 30, 2), (60, 100, 4)])
@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
def test_it_is_scikit_learns_optimum(shape, alpha):
    x, target, standard = samples(*shape)
    head = Logistic(shape[1], shape[2], alpha=alpha)
    head.fit(x, F.one_hot(target))
    probabilities = theirs(standard, target, alpha).predict_proba(standard)
    assert np.allclose(head.outputs(x).softmax(1).detach(), probabilities, atol=1e-5)


def test_labels_are_as_many_logistic_regressions():
    x, target, standard = samples(200, 20, 3)
    labels = torch.stack([target == 0, target > 0, target == 1], 1)
    head = Logistic(20, 3, target="multilabel", alpha=5.0)
    head.fit(x, labels.float())
    for k in range(3):
        probabilities = theirs(standard, labels[:, k].numpy(), 5.0).predict_proba(standard)[:, 1]
        assert np.allclose(head.outputs(x)[:, k].sigmoid().detach(), probabilities, atol=1e-5)


def test_a_mixture_counts_as_both_of_its_classes():
    x, target, _ = samples(80, 10, 3)
    other = target.roll(1)
    mixed, both = Logistic(10, 3, alpha=1.0), Logistic(10, 3, alpha=1.0)
    mixed.fit(x, 0.7 * F.one_hot(target) + 0.3 * F.one_hot(other))
    weight = torch.cat([torch.full((80,), 0.7), torch.full((80,), 0.3)])
    both.fit(x.repeat(2, 1), F.one_hot(torch.cat([target, other])), weight)
    assert torch.allclose(mixed.outputs(x), both.outputs(x), atol=1e-4)


@pytest.mark.parametrize("shape", [(300, 30, 2), (200, 60, 4)])
def test_auto_has_the_least_loss_on_samples_held_out(shape):
    x, target, standard = samples(*shape)
    head = Logistic(shape[1], shape[2])
    head.fit(x, F.one_hot(target))
    losses = {}
    for alpha in GRID:
        losses[alpha] = 0.0
        for held in _held_out(F.one_hot(target)):
            model = theirs(standard[~held], target[~held], alpha)
            losses[alpha] -= model.predict_log_proba(standard[held])[np.arange(int(held.sum())), target[held]].sum()
    assert head.alpha.item() == pytest.approx(min(losses, key=losses.get))
    assert GRID[-1] < head.alpha.item() < GRID[0]


def test_parts_have_their_share_of_every_class():
    target = F.one_hot(torch.tensor([0] * 50 + [1] * 15 + [2] * 5)[torch.randperm(70)])
    parts = _held_out(target)
    assert len(parts) == FOLDS and torch.equal(torch.stack(parts).sum(0), torch.ones(70, dtype=torch.long))
    assert all(torch.equal(target[part].sum(0), torch.tensor([10, 3, 1])) for part in parts)


def test_two_fits_give_the_same_bits():
    x, target, _ = samples(200, 20, 3)
    heads = [Logistic(20, 3) for _ in range(2)]
    for head in heads:
        head.fit(x, F.one_hot(target))
    assert torch.equal(heads[0].output.weight, heads[1].output.weight)


def test_values_are_for_ridge():
    from tunesmith.errors import ConfigError

    with pytest.raises(ConfigError, match="class or multilabel for head=logistic but got 'value'"):
        Logistic(10, 3, target="value")

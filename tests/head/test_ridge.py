import numpy as np
import pytest
import torch
from sklearn import linear_model
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from tunesmith.head.ridge import GRID, Ridge


def samples(number, width, classes):
    torch.manual_seed(number + width)
    x = torch.randn(number, width) * torch.rand(width).mul(3).exp() + torch.randn(width)
    target = ((x - x.mean(0)) / x.std(0) @ torch.randn(width, classes) + 3 * torch.randn(number, classes)).argmax(1)
    return x, target, StandardScaler().fit_transform(x.double().numpy())


SHAPES = pytest.mark.parametrize("shape", [(200, 20, 3), (40, 90, 2), (300, 30, 2)])


@SHAPES
@pytest.mark.parametrize("alpha", [0.01, 1.0, 1000.0])
def test_it_is_scikit_learns(shape, alpha):
    x, target, standard = samples(*shape)
    head = Ridge(shape[1], shape[2], alpha=alpha)
    head.fit(x, F.one_hot(target))
    signs = 2 * np.eye(shape[2])[target] - 1
    theirs = linear_model.Ridge(alpha=alpha).fit(standard, signs)
    assert np.allclose(head.output.weight.detach(), theirs.coef_, atol=1e-6)
    assert np.allclose(head.outputs(x).detach(), theirs.predict(standard), atol=2e-6)
    labels = linear_model.RidgeClassifier(alpha=alpha).fit(standard, target).predict(standard)
    assert np.array_equal(head.outputs(x).argmax(1), labels)


@SHAPES
def test_auto_chooses_as_scikit_learn_does(shape):
    x, target, standard = samples(*shape)
    head = Ridge(shape[1], shape[2])
    head.fit(x, F.one_hot(target))
    theirs = linear_model.RidgeCV(alphas=GRID).fit(standard, 2 * np.eye(shape[2])[target] - 1)
    assert head.alpha.item() == pytest.approx(theirs.alpha_)
    assert GRID[0] < theirs.alpha_ < GRID[-1]


def test_values_and_weights_too():
    x, _, _ = samples(100, 12, 2)
    values = torch.stack([x @ torch.randn(12), torch.rand(100)], 1)
    weight = torch.rand(100)
    head = Ridge(12, 2, target="value", alpha=3.0)
    head.fit(x, values, weight)
    w = weight.double().numpy()
    centred = x.double().numpy() - np.average(x.double().numpy(), axis=0, weights=w)
    standard = centred / np.sqrt(np.average(centred**2, axis=0, weights=w))
    theirs = linear_model.Ridge(alpha=3.0).fit(standard, values.double().numpy(), sample_weight=w)
    assert np.allclose(head.outputs(x).detach(), theirs.predict(standard), atol=1e-4)
    assert np.allclose(head.output.weight.detach(), theirs.coef_, rtol=1e-5, atol=1e-6)


def test_labels_are_on_either_side_of_zero():
    x, target, _ = samples(300, 30, 2)
    labels = torch.stack([target, 1 - target, target], 1).float()
    head = Ridge(30, 3, target="multilabel")
    head.fit(x, labels)
    assert ((head.outputs(x) > 0) == (labels > 0)).float().mean() > 0.8


def test_the_error_when_one_is_left_out_is_what_leaving_one_out_gives():
    x, target, standard = samples(16, 8, 2)
    signs = 2 * np.eye(2)[target] - 1
    errors = []
    for alpha in GRID:
        model, total = linear_model.Ridge(alpha=alpha), 0.0
        for i in range(16):
            kept = np.arange(16) != i
            total += ((model.fit(standard[kept], signs[kept]).predict(standard[i : i + 1]) - signs[i]) ** 2).sum()
        errors.append(total)
    head = Ridge(8, 2)
    head.fit(x, F.one_hot(target))
    assert head.alpha.item() == pytest.approx(GRID[int(np.argmin(errors))])

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tunesmith.task.calibration import MOST, choose_threshold, fit_temperature, nll_of_classes, nll_of_labels


def drawn(n: int = 4000, classes: int = 3):
    """Logits, and classes drawn with exactly the probabilities that they say."""
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, classes, generator=g)
    return logits, torch.multinomial(logits.softmax(-1), 1, generator=g).flatten()


@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 4.0])
def test_temperature_undoes_a_factor(factor):
    logits, target = drawn()
    found = fit_temperature(factor * logits, lambda o: nll_of_classes(o, target))
    assert found == pytest.approx(factor, rel=0.1)


def test_no_other_temperature_is_better():
    logits, target = drawn(300)

    def nll(t):
        return F.cross_entropy(3 * logits.double() / t, target).item()

    found = fit_temperature(3 * logits, lambda o: nll_of_classes(o, target))
    assert nll(found) < nll(1) and nll(found) <= min(nll(found * f) for f in (0.99, 1.01)) + 1e-12


def test_temperature_of_labels():
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 2, generator=g)
    target = torch.bernoulli(logits.sigmoid(), generator=g)
    assert fit_temperature(5 * logits, lambda o: nll_of_labels(o, target)) == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("nll", [nll_of_classes, nll_of_labels])
def test_likelihood_of_views_is_that_of_their_mean(nll):
    views = torch.randn(5, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if nll is nll_of_classes:
        target = torch.tensor([0, 1, 2, 0, 1])
        expected = F.nll_loss(views.softmax(-1).mean(1).log(), target)
    else:
        target = (views[:, 0] > 0).long()
        expected = F.binary_cross_entropy(views.sigmoid().mean(1), target.double())
    assert torch.allclose(nll(views, target), expected)


def test_outputs_that_are_all_right_have_a_bound():
    target = torch.tensor([0, 1, 0, 1])
    found = fit_temperature(10 * F.one_hot(target).float(), lambda o: nll_of_classes(o, target))
    assert found == pytest.approx(1 / MOST)


def brute(scores, target, criterion):
    """The best merit of all thresholds, the slow way."""
    best = -np.inf
    for t in [-1.0, *scores.tolist()]:
        said = scores > t
        tp, fp, fn, tn = ((said == a) & (target == b) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0)))
        tp, fp, fn, tn = (x.sum().item() for x in (tp, fp, fn, tn))
        best = max(best, merit(tp, fp, fn, tn, criterion))
    return best


def merit(tp, fp, fn, tn, criterion):
    f1, other = (2 * x / max(2 * x + fp + fn, 1) for x in (tp, tn))
    balanced = tp / max(tp + fn, 1) + tn / max(tn + fp, 1)
    return {"accuracy": tp + tn, "f1": f1, "macro_f1": f1 + other, "balanced_accuracy": balanced}[criterion]


@pytest.mark.parametrize("criterion", ["accuracy", "f1", "macro_f1", "balanced_accuracy"])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_is_better(criterion, seed):
    g = torch.Generator().manual_seed(seed)
    target = (torch.rand(60, generator=g) < 0.2).long()
    scores = (torch.rand(60, generator=g) * 0.5 + 0.2 * target).mul(40).round() / 40  # with ties
    t = choose_threshold(scores, target, criterion)
    said = scores > t
    counts = [((said == a) & (target == b)).sum().item() for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert merit(*counts, criterion) == pytest.approx(brute(scores, target, criterion))


def test_a_threshold_holds_between_neighbours_of_float32():
    low = torch.tensor(0.3)
    high = torch.nextafter(low, torch.tensor(1.0))
    t = choose_threshold(torch.stack([low, high]), torch.tensor([0, 1]), "accuracy")
    assert (torch.stack([low, high]) > t).tolist() == [False, True]


def test_where_it_makes_no_difference_it_is_one_half():
    assert choose_threshold(torch.tensor([0.2, 0.8]), torch.tensor([0, 1]), "f1") == 0.5
    assert choose_threshold(torch.tensor([0.4, 0.6]), torch.tensor([0, 0]), "f1") == 0.5

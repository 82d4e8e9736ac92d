from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.errors import ConfigError
from tunesmith.task.loss.loss import BCE, CrossEntropy, Focal, Ordinal, class_weights, loss_mistakes, mean_loss

OUTPUTS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.4, 0.1], [-1.0, 0.0, 3.0]])
TARGET = torch.tensor([0, 1, 1])
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])


@pytest.mark.parametrize("target", [TARGET, SOFT], ids=["classes", "mixed"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_cross_entropy_is_torchs(target, smoothing):
    expected = F.cross_entropy(OUTPUTS, target, label_smoothing=smoothing)
    assert torch.allclose(CrossEntropy(smoothing)(OUTPUTS, target), expected)


def test_automatic_weights_make_every_class_count_the_same():
    counts = (60, 30, 10)
    weights = class_weights("auto", counts)
    assert torch.allclose(weights * torch.tensor(counts), torch.full((3,), 100 / 3))
    losses = F.cross_entropy(OUTPUTS, TARGET, reduction="none")
    found = CrossEntropy(class_weight="auto", train_counts=counts)(OUTPUTS, TARGET)
    assert torch.allclose(found, (losses * weights[TARGET]).mean())


def test_given_weights_count_as_given():
    one, other = (CrossEntropy(class_weight=[1, w, 1], train_counts=(1, 1, 1))(OUTPUTS, TARGET) for w in (1, 3))
    assert torch.allclose(other - one, 2 * F.cross_entropy(OUTPUTS[1:], TARGET[1:], reduction="sum") / 3)


def test_adjusted_logits_undo_what_is_only_due_to_frequency():
    """Menon et al.: with outputs that are the log of the shares, nothing is left to learn but the balanced answer."""
    counts = torch.tensor([80.0, 15.0, 5.0])
    loss = CrossEntropy(logit_adjustment=1.0, train_counts=(80, 15, 5))
    flat = torch.zeros(1, 3)
    for k in range(3):
        assert torch.allclose(loss(flat, torch.tensor([k])), -(counts / 100).log()[k])


def test_focal_without_focus_is_cross_entropy_and_with_it_counts_the_sure_less():
    assert torch.allclose(Focal(gamma=0)(OUTPUTS, SOFT), F.cross_entropy(OUTPUTS, SOFT))
    p = OUTPUTS.softmax(-1)[torch.arange(3), TARGET]
    assert torch.allclose(Focal(gamma=2)(OUTPUTS, TARGET), (-((1 - p) ** 2) * p.log()).mean())


def test_bce_is_torchs_and_balances_labels():
    assert torch.allclose(BCE()(OUTPUTS, LABELS), F.binary_cross_entropy_with_logits(OUTPUTS, LABELS))
    balanced = BCE("auto", train_counts=(50, 20, 100), train_size=100)
    assert balanced.pos_weight.tolist() == pytest.approx([1.0, 4.0, 0.01])


def test_ordinal_asks_for_each_level_whether_it_is_passed():
    outputs, target = OUTPUTS[:, :2], torch.tensor([0, 1, 2])
    above = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    assert torch.allclose(Ordinal()(outputs, target), F.binary_cross_entropy_with_logits(outputs, above))


def test_what_follows_from_the_data_is_in_no_checkpoint():
    assert not CrossEntropy(class_weight="auto", logit_adjustment=1, train_counts=(1, 2)).state_dict()


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (CrossEntropy(0.1, class_weight=[1, 2, 3], train_counts=(1, 1, 1)), TARGET),
        (Focal(), SOFT),
        (nn.CrossEntropyLoss(), TARGET),
        (BCE(), LABELS),
        (nn.MSELoss(), LABELS),
        (nn.HuberLoss(), LABELS),
    ],
    ids=lambda x: type(x).__name__,
)
def test_weights_of_samples(loss, target):
    """Equal ones change nothing, 0 is as if the sample were not there, and 2 as if it were there twice."""
    assert torch.allclose(mean_loss(loss, OUTPUTS, target, torch.full((3,), 0.3)), loss(OUTPUTS, target))
    found = mean_loss(loss, OUTPUTS, target, torch.tensor([0.0, 2.0, 1.0]))
    rows = [1, 1, 2]
    assert torch.allclose(found, loss(OUTPUTS[rows], target[rows]))
    assert mean_loss(loss, OUTPUTS, target, torch.zeros(3)) == 0
    assert loss.reduction == "mean"


def test_views_count_as_samples():
    views = torch.stack([OUTPUTS, -OUTPUTS], dim=1)
    weight = torch.tensor([1.0, 2.0, 3.0])
    both = [mean_loss(CrossEntropy(), o, TARGET, weight) for o in (OUTPUTS, -OUTPUTS)]
    assert torch.allclose(mean_loss(CrossEntropy(), views, TARGET, weight, views=2), sum(both) / 2)


def test_in_training_a_sample_weighs_the_same_in_whatever_batch():
    weight, loss = torch.tensor([0.5, 2.0, 5.0]), CrossEntropy()
    whole = mean_loss(loss, OUTPUTS, TARGET, weight)
    assert torch.allclose(mean_loss(loss, OUTPUTS, TARGET, weight, 2.5), whole)
    ones = [mean_loss(loss, OUTPUTS[[i]], TARGET[[i]], weight[[i]], 2.5) for i in range(3)]
    assert torch.allclose(sum(ones) / 3, whole)  # as accumulation, or several processes, take the mean
    alone = [mean_loss(loss, OUTPUTS[[i]], TARGET[[i]], weight[[i]]) for i in range(3)]
    assert not torch.allclose(sum(alone) / 3, whole)
    assert mean_loss(loss, OUTPUTS, TARGET, torch.zeros(3), 0.0) == 0


class Stubborn(nn.Module):
    def forward(self, outputs, target):
        return (outputs.sum(-1) - target).mean()


def test_weights_need_a_loss_of_each_sample():
    assert mean_loss(Stubborn(), OUTPUTS, TARGET, None).ndim == 0
    with pytest.raises(ConfigError, match="'reduction', since samples have weights, but got Stubborn"):
        mean_loss(Stubborn(), OUTPUTS, TARGET, torch.ones(3))


@pytest.mark.parametrize(
    ("kind", "loss", "sentence"),
    [
        (
            "value",
            CrossEntropy(),
            "for value targets but got CrossEntropy, which is for class or .*; use loss=mse",
        ),
        (
            "class",
            nn.MSELoss(),
            "for class targets but got MSELoss, which is for value targets; use loss=cross_entropy",
        ),
        ("multilabel", nn.CrossEntropyLoss(), "use loss=bce"),
        ("ordinal", Focal(), "use loss=ordinal"),
        ("class", nn.NLLLoss(), "raw outputs but got NLLLoss, which takes log-probabilities; use loss=cross_entropy"),
        ("multilabel", nn.BCELoss(), "which takes probabilities; use loss=bce"),
    ],
)
def test_a_loss_for_something_else_is_refused(kind, loss, sentence):
    (found,) = loss_mistakes(loss, kind)
    assert re.search(sentence, found)


def test_a_loss_of_the_users_own_is_believed():
    for kind in ("class", "value", "multilabel", "ordinal"):
        assert not list(loss_mistakes(Stubborn(), kind))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CrossEntropy(1.0), "label_smoothing to be from 0 to below 1 but got 1.0"),
        (lambda: CrossEntropy(logit_adjustment=-1), "logit_adjustment to be at least 0"),
        (
            lambda: CrossEntropy(class_weight="auto", train_counts=(3, 0)),
            "every class.*class_weight=auto but number 1",
        ),
        (
            lambda: CrossEntropy(logit_adjustment=1, train_counts=(0, 3)),
            "every class.*logit_adjustment=1 but number 0",
        ),
        (lambda: CrossEntropy(class_weight=[1, 2], train_counts=(1, 1, 1)), "3 positive numbers but got"),
        (lambda: CrossEntropy(class_weight=[1, -2], train_counts=(1, 1)), "2 positive numbers but got"),
        (lambda: CrossEntropy(class_weight="automatic", train_counts=(1, 1)), "auto, null or 2 positive numbers"),
        (lambda: Focal(gamma=-1), "gamma to be at least 0"),
        (
            lambda: BCE("auto", train_counts=(0, 3), train_size=5),
            "every class or label in train for loss.pos_weight=auto",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()

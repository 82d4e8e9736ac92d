import math

import pytest
import torch
from torch.nn import functional as F

from tunesmith.contract.features import Features
from tunesmith.errors import ConfigError
from tunesmith.head.attention_pool import AttentionPool


def features(batch=4, width=16, kind="map"):
    x = torch.randn(batch, width, 3, 5)
    tokens = x.flatten(2).transpose(1, 2)
    return Features(x.mean((2, 3)), maps=(x,)) if kind == "map" else Features(tokens[:, 0], tokens=tokens)


@pytest.mark.parametrize("kind", ["map", "tokens"])
def test_it_begins_as_the_mean(kind):
    head, given = AttentionPool(16, 3, heads=4), features(kind=kind)
    mean = given.tokens.mean(1) if kind == "tokens" else given.pooled
    assert torch.allclose(head(given), head.output(mean), atol=1e-6)


def test_tokens_are_preferred_to_the_map():
    head, given = AttentionPool(16, 3), features(kind="tokens")
    assert torch.equal(head(given), head(given._replace(maps=(torch.randn(4, 99, 2, 2),))))


def test_the_queries_learn_which_token_matters():
    """One token in twelve says the class, at a random place, marked by one feature: the mean cannot tell as well."""
    torch.manual_seed(0)
    head = AttentionPool(16, 2, heads=2)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(150):
        target = torch.randint(0, 2, (64,))
        tokens = torch.randn(64, 12, 16)
        tokens[:, :, 0] = 0
        place = torch.randint(0, 12, (64,))
        tokens[torch.arange(64), place, 0] = 5.0
        tokens[torch.arange(64), place, 9] = 2.0 * target - 1
        loss = F.cross_entropy(head(Features(tokens[:, 0], tokens=tokens)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.35  # the mean alone stays above 0.6
    attention = head.queries(head.norm(tokens)).softmax(1)
    assert (attention[:, :, 1].argmax(1) == place).float().mean() > 0.95


def test_every_parameter_gets_a_gradient_once_the_output_differs_from_class_to_class():
    head = AttentionPool(16, 3, heads=4)
    torch.nn.init.normal_(head.queries.weight)
    F.cross_entropy(head(features()), torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


def test_the_first_loss_is_about_log_k():
    torch.manual_seed(0)
    loss = F.cross_entropy(AttentionPool(1280, 10)(features(64, 1280)), torch.arange(64) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=0.15)


@pytest.mark.parametrize(
    ("given", "got"), [(Features(torch.randn(2, 16)), "neither"), (features(width=24), "a width of 24")]
)
def test_a_backbone_without_tokens_and_map_is_refused(given, got):
    with pytest.raises(ConfigError, match=f"width 16 from the backbone but got {got}.*head=linear"):
        AttentionPool(16, 3)(given)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"heads": 5}, r"head.heads to divide the 16"), ({"heads": 0}, r"head.heads"), ({"dropout": 1.0}, "head.dropout")],
)
def test_arguments_out_of_range(arguments, named):
    with pytest.raises(ConfigError, match=named):
        AttentionPool(16, 3, **arguments)

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth

from tunesmith.errors import ConfigError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.task.loss.agreement import Disagreement, drops


def divergence(first, second):
    """By the definition, with probabilities."""
    p, q = first.softmax(-1), second.softmax(-1)
    return ((p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)) / 2


def test_it_is_the_mean_of_both_divergences():
    first, second = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(Disagreement()(first, second), divergence(first, second).mean())
    assert Disagreement()(first, first) == 0


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Dropout(0.1), True),
        (nn.Dropout2d(0.0), False),
        (StochasticDepth(0.2, "row"), True),
        (timm.layers.DropPath(0.1), True),
        (timm.layers.DropPath(0.0), False),
        (nn.Linear(2, 2), False),
    ],
)
def test_what_drops(module, expected):
    assert drops(module) == expected


@pytest.fixture
def assembled(quick, small_text, texts, tmp_path):
    """A task in training and its first batch."""

    def make(*words, model="bert", table=texts):
        own = ["data=text_table", f"data.file={table}", "backbone=transformers", f"backbone.name={small_text(model)}"]
        parts = assemble(quick(*own, "backbone.weights=null", *words), tmp_path, {})
        task = parts.task
        task.trainer, task.log = parts.trainer, lambda *args, **kwargs: None
        task.train()
        task.apply_policy(0)
        return task, next(iter(parts.data.train_dataloader()))

    return make


def expected_loss(task, batch, weight, r_drop):
    first, second = task(batch["input"]), task(batch["input"])
    assert not torch.equal(first, second)
    losses = sum(F.cross_entropy(outputs, batch["target"], reduction="none") for outputs in (first, second)) / 2
    return ((losses + r_drop / 2 * divergence(first, second)) * weight).mean()


def test_the_loss_is_that_of_two_passes_and_half_of_what_they_differ_by(assembled):
    task, batch = assembled("task.r_drop=3", "policy=full")
    torch.manual_seed(5)
    expected = expected_loss(task, batch, 1.0, 3.0)
    torch.manual_seed(5)
    got = task.training_step(batch, 0)
    torch.testing.assert_close(got, expected)
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(
            torch.autograd.grad(
                got, list(task.parameters()), retain_graph=True, allow_unused=True, materialize_grads=True
            ),
            torch.autograd.grad(got, list(task.parameters()), allow_unused=True, materialize_grads=True),
            strict=True,
        )
    )


def test_samples_count_by_their_weights(assembled, texts, tmp_path):
    lines = texts.read_text().splitlines()
    rows = [f"{line},{1 + i % 3}" for i, line in enumerate(lines[1:])]
    (tmp_path / "weighted.csv").write_text("\n".join([f"{lines[0]},weight", *rows]))
    task, batch = assembled("task.r_drop=3", "policy=full", table=tmp_path / "weighted.csv")
    assert len(set(batch["weight"].tolist())) == 3
    torch.manual_seed(5)
    expected = expected_loss(task, batch, batch["weight"] / task.spec.mean_weight, 3.0)
    torch.manual_seed(5)
    torch.testing.assert_close(task.training_step(batch, 0), expected.float())


def test_where_nothing_that_trains_drops_one_pass_is_enough(assembled, monkeypatch):
    task, batch = assembled("task.r_drop=3", "policy=lp_ft")
    passes = []
    plain = task.backbone.forward
    monkeypatch.setattr(task.backbone, "forward", lambda *a, **k: passes.append(1) or plain(*a, **k))
    torch.testing.assert_close(task.training_step(batch, 0), F.cross_entropy(task(batch["input"]), batch["target"]))
    assert len(passes) == 2, "one of them is that of the comparison"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["task.r_drop=-1"], r"task.r_drop to be 0 or more but got -1"),
        (["task.r_drop=1", "backbone=tiny", "data=digits"], r"something with dropout that trains for task.r_drop=1"),
        (["task.r_drop=1"], r"something with dropout that trains for task.r_drop=1"),
        (["task.r_drop=1", "head=logistic"], r"a head trained step by step"),
    ],
)
def test_mistakes(words, sentence, quick, texts, small_text, tmp_path):
    own = ["data=text_table", f"data.file={texts}", "backbone=transformers", f"backbone.name={small_text('bert')}"]
    own = [] if "data=digits" in words else [*own, "backbone.weights=null", "policy=linear_probe"]
    with pytest.raises(ConfigError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        assemble(quick(*own, *words), tmp_path, {})

"""Question answering against the library's own model, from one set of weights."""

from __future__ import annotations

import pytest
import torch

from tunesmith.errors import ConfigError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.task.kind import without_padding

DATA = ["data=synthetic_questions", "task=question_answering", "data.samples=40", "data.max_length=48", "data.stride=8"]


@pytest.fixture
def assembled(quick, small_text, tmp_path):
    def make(*more, model="bert"):
        small = ["backbone=transformers", f"backbone.name={small_text(model)}", "backbone.weights=null"]
        return assemble(quick(*DATA, *small, "data.batch_size=6", "head.dropout=0", *more), tmp_path, {})

    return make


@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_loss_and_gradients_are_those_of_the_library(assembled, model):
    """Of windows that are as long as each other: the library lets padding compete with the tokens."""
    from transformers import AutoModelForQuestionAnswering

    parts = assembled(model=model)
    task = parts.task.eval()
    batch = next(iter(parts.data.train_dataloader()))
    shortest = int(batch["input"]["attention_mask"].sum(dim=1).min())
    batch["input"] = {name: tensor[:, :shortest] for name, tensor in batch["input"].items()}
    batch["target"] = batch["target"].clamp_max(shortest - 1)
    assert len(set(batch["target"].flatten().tolist())) > 2
    net = task.backbone.net
    theirs = AutoModelForQuestionAnswering.from_config(net.config).eval()
    body = getattr(theirs, theirs.base_model_prefix)
    assert not body.load_state_dict(net.state_dict(), strict=False).unexpected_keys
    theirs.qa_outputs.load_state_dict(task.head.output.state_dict())

    found, target, _ = task.counted(task(batch["input"]), batch)
    ours = task.loss(found, task.encode(target))
    begin, end = batch["target"].unbind(1)
    expected = theirs(**batch["input"], start_positions=begin, end_positions=end).loss
    assert ours.item() == pytest.approx(expected.item(), abs=1e-6)
    ours.backward()
    expected.backward()
    gradients = {name: p.grad for name, p in body.named_parameters()}
    own = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    assert len(own) > 10
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, gradients[name], atol=1e-5, rtol=1e-5)


def test_the_loss_does_not_depend_on_padding(assembled):
    parts = assembled()
    task = parts.task.eval()
    batch = next(iter(parts.data.train_dataloader()))
    longer = dict(batch) | {"input": {n: torch.nn.functional.pad(t, (0, 5)) for n, t in batch["input"].items()}}
    one, other = (task.loss(*task.counted(task(b["input"]), b)[:2]) for b in (batch, longer))
    assert torch.allclose(one, other, atol=1e-6)
    a, b = (task.score(task.val_metrics, task(x["input"]), x) for x in (batch, longer))
    assert a["said"] == b["said"] and torch.allclose(a["best"], b["best"], atol=1e-5)


def test_what_is_said_stands_in_the_text_and_is_never_padding_or_question(assembled):
    parts = assembled("task.max_answer=2")
    batch = next(iter(parts.data.train_dataloader()))
    task = parts.task.eval()
    outputs = torch.randn(*batch["input"]["input_ids"].shape, 2)
    outputs[:, 0] = 99  # which says: no answer
    outputs[batch["input"]["attention_mask"] == 0] = 999
    found = task.score(task.val_metrics, outputs, batch)
    for text, context, begin, end in zip(
        found["said"], batch["meta"]["context"], found["begin"], found["end"], strict=True
    ):
        assert text and context[begin:end] == text and len(text.split()) <= 2
    assert (found["null"] == 198).all() and (found["null"] > found["best"]).all()
    values = task.val_metrics.compute()
    assert values["val/f1"] == sum(not own for own in batch["meta"]["answers"]) / len(batch["meta"]["answers"]) or len(
        set(batch["target"]["question"].tolist())
    ) < len(batch["target"]["question"])
    sure = assembled("data.impossible=0").task
    assert torch.isinf(sure.score(sure.val_metrics, outputs, batch)["null"]).all()  # every question has an answer


def test_the_threshold_is_for_having_no_answer(assembled):
    parts = assembled()
    batch = next(iter(parts.data.train_dataloader()))
    outputs = torch.randn(*batch["input"]["input_ids"].shape, 2)
    plain = parts.task.score(parts.task.val_metrics, outputs, batch)["null"]
    parts.task.null_threshold = 2.5
    assert torch.allclose(parts.task.score(parts.task.val_metrics, outputs, batch)["null"], plain - 2.5)


def test_a_batch_of_nothing_but_padding_says_nothing(assembled):
    """Which the last one of a process may be, under DDP."""
    task, batch = (parts := assembled()).task, next(iter(parts.data.train_dataloader()))
    index = torch.tensor([0, *[-1] * 5])
    one = without_padding(task(batch["input"]), batch | {"index": index})
    none = without_padding(one[0], one[1] | {"index": torch.tensor([-1])})
    found = [task.score(task.val_metrics, *each) for each in (none, one)]
    assert found[0]["said"] == [] and found[1]["said"] and found[1]["answers"] == batch["meta"]["answers"][:1]
    assert len(task.counted(*none).target) == 0 and 0 <= task.val_metrics.compute()["val/f1"] <= 1


def test_weights_count_for_both_ends(assembled):
    parts = assembled()
    batch = next(iter(parts.data.train_dataloader())) | {"weight": torch.arange(6.0)}
    outputs = torch.randn(*batch["input"]["input_ids"].shape, 2)
    found = parts.task.counted(outputs, batch)
    assert torch.equal(found.outputs[6], outputs[0, :, 1]) and torch.equal(found.outputs[1], outputs[1, :, 0])
    assert found.target.tolist() == batch["target"]["span"].T.flatten().tolist()
    assert found.weight.tolist() == [*range(6), *range(6)] and parts.task.count(batch) == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["head=linear"], r"an output per token for span targets but got Linear, .* use head=tokens"),
        (["task.max_answer=0"], r"task.max_answer to be at least 1 token but got 0"),
        (["loss.label_smoothing=0.1"], r"loss.label_smoothing=0 for answers"),
        (["loss.class_weight=auto"], r"no loss.class_weight"),
        (["task=token_classification"], r"target is tags for TokenClassification but got 'span'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(assembled, words, sentence):
    with pytest.raises(ConfigError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        assembled(*words)

"""Token classification against the library's own model, from one set of weights."""

from __future__ import annotations

import pytest
import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.contract.tree import map_tree
from tunesmith.errors import ConfigError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.task.kind import without_padding


@pytest.fixture
def assembled(quick, tagged, small_text, tmp_path):
    def make(*more, model="bert"):
        words = ["data=token_table", f"data.file={tagged}", "task=token_classification", "backbone=transformers"]
        small = [f"backbone.name={small_text(model)}", "backbone.weights=null", "data.split.by=random"]
        parts = assemble(quick(*words, *small, "data.batch_size=8", "head.dropout=0", *more), tmp_path, {})
        parts.data.trainer = None
        return parts

    return make


def batch_of(parts):
    batch = next(iter(parts.data.train_dataloader()))
    # Two samples are shorter, and one has lost its last words.
    for name, length in (("input_ids", 5), ("token_type_ids", 5), ("attention_mask", 5)):
        if name in batch["input"]:
            batch["input"][name][:2, length:] = 0
    batch["target"]["tokens"][:2, 4:] = IGNORED
    batch["target"]["starts"][:2, 3:] = -1
    return batch


@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_loss_and_gradients_are_those_of_the_library(assembled, model):
    from transformers import AutoModelForTokenClassification

    parts = assembled(model=model)
    task, batch = parts.task.eval(), batch_of(parts)
    net = task.backbone.net
    net.config.num_labels = len(task.spec.class_names)
    theirs = AutoModelForTokenClassification.from_config(net.config).eval()
    body = getattr(theirs, theirs.base_model_prefix)
    missing = body.load_state_dict(net.state_dict(), strict=False)
    assert not missing.unexpected_keys
    (getattr(theirs, "classifier", None) or theirs.score).load_state_dict(task.head.output.state_dict())

    found, target, _ = task.counted(task(batch["input"]), batch)
    assert 0 < len(target) == task.count(batch) < batch["target"]["tokens"].numel()
    ours = task.loss(found, task.encode(target))
    expected = theirs(**batch["input"], labels=batch["target"]["tokens"]).loss
    assert ours.item() == pytest.approx(expected.item(), abs=1e-6)
    ours.backward()
    expected.backward()
    gradients = {name: p.grad for name, p in body.named_parameters()}
    compared = [name for name, p in net.named_parameters() if p.grad is not None]
    assert len(compared) > 10
    for name in compared:
        torch.testing.assert_close(dict(net.named_parameters())[name].grad, gradients[name], atol=1e-5, rtol=1e-5)


def test_a_word_that_was_cut_counts_as_wrong_and_its_entity_as_not_found(assembled):
    parts = assembled()
    task, batch = parts.task.eval(), batch_of(parts)
    outputs = torch.zeros(*batch["input"]["input_ids"].shape, len(task.spec.class_names))
    rows = torch.arange(8).unsqueeze(1)
    # Right wherever there is a token.
    outputs[rows, batch["target"]["starts"].clamp_min(0), batch["target"]["words"]] = 9
    kept = task.score(task.test_metrics, outputs, batch)
    found = {name.partition("/")[2]: value.item() for name, value in task.test_metrics.compute().items()}
    assert found["accuracy"] == pytest.approx(30 / 32)
    assert found["entity_precision"] >= found["entity_recall"] and found["entity_recall"] < 1
    assert [len(values) for values in kept["predictions"]] == [len(tags) for tags in kept["target"]] == [4] * 8
    assert kept["predictions"][0][3].sum() == 0 and kept["predictions"][0][2].sum() == pytest.approx(1)
    again = {"index": batch["index"][2:], "target": map_tree(lambda tensor: tensor[2:], batch["target"])}
    task.test_metrics.reset()
    task.score(task.test_metrics, outputs[2:], again)
    assert all(value == 1 for value in task.test_metrics.compute().values())  # negative control: nothing is cut


def test_a_batch_of_nothing_but_padding_says_nothing(assembled):
    """Which the last one of a process may be, under DDP."""
    task, batch = (parts := assembled()).task, batch_of(parts)
    outputs, none = without_padding(task(batch["input"]), batch | {"index": torch.full((8,), -1)})
    assert task.score(task.test_metrics, outputs, none) == {"predictions": [], "target": []}
    assert len(task.counted(outputs, none).target) == 0 == task.test_metrics["accuracy"].total


def test_what_is_kept_is_padded_further_and_counts_the_same(assembled):
    parts = assembled()
    batch = batch_of(parts)
    outputs = torch.randn(8, 6, len(parts.task.spec.class_names))
    longer = torch.cat([outputs, torch.full((8, 3, outputs.shape[2]), torch.nan)], dim=1)
    one, other = (parts.task.counted(o, batch | {"weight": torch.arange(8.0)}) for o in (outputs, longer))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(one.weight[:2], torch.zeros(2)) and one.weight[-1] == 7


def test_the_baseline_says_the_commonest_tag(assembled):
    parts = assembled()
    truth = [torch.tensor([0, 3]), torch.tensor([3])]
    name = parts.task.baseline(parts.task.test_metrics, {"target": truth})
    counts = parts.data.counts()["train"]
    assert name == max(counts, key=counts.get) == "O"
    assert parts.task.test_metrics["accuracy"].total == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["head=linear"], r"a head with an output per token for tags targets but got Linear, .* use head=tokens"),
        (["task=classification"], r"target is class for Classification but got 'tags'"),
        (["loss=bce"], r"a loss for tags targets but got BCE, .* use loss=cross_entropy"),
        (["data.sampler=balanced"], r"data.sampler=shuffled where the targets are no classes but tags"),
        (["data.split.shots=2"], r"no data.split.shots where the targets are no classes but tags"),
    ],
)
def test_what_does_not_fit_is_one_sentence(assembled, words, sentence):
    with pytest.raises(Exception, match=rf"^Expected [^\n]*{sentence}[^\n]*$") as caught:
        assembled(*(f"+{word}" if word.startswith(("data.sampler", "data.split.shots")) else word for word in words))
    assert isinstance(caught.value, ConfigError) or "data." in words[0]

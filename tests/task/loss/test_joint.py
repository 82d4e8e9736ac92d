from __future__ import annotations

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, PolicyError, RunError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.assembly.init_weights import find
from tunesmith.run.evaluate import evaluate
from tunesmith.run.record import metrics_log
from tunesmith.run.record.quiet import quiet
from tunesmith.run.reproduce import reproduce
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train
from tunesmith.task.loss import joint

JOINT = ["task=joint", "data.unlabelled=train", "backbone.weights=null"]


@pytest.fixture
def words(texts, small_text):
    def make(model, *more):
        own = ["data=text_table", f"data.file={texts}", "backbone=transformers", f"backbone.name={small_text(model)}"]
        return [*own, *JOINT, *more]

    return make


@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_the_loss_is_that_of_the_labels_and_what_that_of_the_texts_counts_for(model, words, quick, tmp_path):
    parts = assemble(quick(*words(model, "task.lm_loss_weight=0.3")), tmp_path, {})
    task = parts.task.eval()
    task.trainer, task.log = parts.trainer, lambda *args, **kwargs: None
    batch = next(iter(parts.data.train_dataloader()))
    labels = F.cross_entropy(task(batch["input"]), batch["target"])
    other, each = batch["streams"]["unlabelled"], []
    outputs = task.head.language(task.features(other["input"], task.head.language.needs))
    for scores, target in zip(outputs, other["target"], strict=True):
        each.append(F.cross_entropy(scores[: len(target)], target, ignore_index=-100))
    texts = torch.stack(each).mean()
    expected = labels + 0.3 * texts
    got = task.training_step(batch, 0)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(task.train_lm_loss.compute(), texts.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(task.train_loss.compute(), labels.detach(), rtol=1e-5, atol=1e-6)
    parameters = [p for p in task.parameters() if p.requires_grad]
    ours = torch.autograd.grad(got, parameters, allow_unused=True)
    theirs = torch.autograd.grad(expected, parameters, allow_unused=True)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_both_are_learnt_and_both_losses_logged(words, quick):
    result = train(quick(*words("bert", "trainer.max_epochs=12", "optimizer.lr=0.01")))
    rows = [row for row in metrics_log.read(result.folder) if "train/lm_loss" in row]
    first, last = rows[0], rows[-1]
    assert len(rows) == 12
    assert last["train/lm_loss"] < 0.8 * first["train/lm_loss"]
    assert last["train/loss"] < 0.8 * first["train/loss"]


def test_the_texts_without_labels_are_needed_for_training_alone(words, quick, tmp_path):
    """Negative control: to reproduce the run they have to be the same."""
    more = tmp_path / "more.txt"
    more.write_text("good film\nvery dull\n" * 20)
    folder = train(quick(*words("gpt2", f"data.unlabelled={more}", "trainer.max_epochs=1"))).folder
    more.write_text("good")
    with pytest.raises(RunError, match="the texts without labels differ"):
        reproduce(compose("reproduce", [f"run={folder}", f"paths.logs={tmp_path}/again"]))
    more.unlink()
    tested = evaluate(compose("evaluate", [f"run={folder}", "accelerator=cpu"]))
    assert tested.metrics["test/loss"] == pytest.approx(
        json.loads((folder / "run.json").read_text())["metrics"]["test/loss"]
    )


def test_pieces_of_a_batch_make_its_step_and_a_search_for_them_computes_both(words, quick, tmp_path, monkeypatch):
    """83 texts: ten batches of 8 and one of 3; the model has no dropout, which pieces draw otherwise than a batch."""
    more = ["data.unlabelled_per_sample=2", "trainer.precision=64-true", "data.batch_size=8", "optimizer=sgd"]
    cfg = [*words("llama", *more), "test=null", "callback=none", "trainer.max_epochs=1"]
    sizes, compute = [], joint.text_losses

    def seen(task, batch):
        sizes.append(len(batch["target"]))
        return compute(task, batch)

    monkeypatch.setattr(joint, "text_losses", seen)
    states = {}
    for name, own in {
        "whole": [],
        "pieces": ["trainer.micro_batch_size=2"],
        "found": ["trainer.micro_batch_size=auto"],
    }.items():
        torch.manual_seed(0)
        (tmp_path / name).mkdir()
        parts = assemble(quick(*cfg, *own, f"paths.run={tmp_path / name}"), tmp_path / name, {})
        if name == "found":
            assert set(sizes) == {2, 4, 8, 16}  # of trials
        with quiet():
            parts.trainer.fit(parts.task, datamodule=parts.data)
        assert set(sizes) == {"whole": {16, 6}, "pieces": {4, 2}, "found": {16, 8, 4, 2, 6}}[name]
        states[name] = parts.task.state_dict()
        sizes.clear()
    for name in ("pieces", "found"):
        assert [k for k in states[name] if not torch.allclose(states[name][k], states["whole"][k], atol=1e-6)] == []


def test_one_batch_can_be_overfitted(words, quick):
    more = ["debug=overfit", "trainer.max_epochs=40", "data.batch_size=8", "optimizer.lr=0.02", "callback=quiet"]
    folder = train(quick(*words("gpt2", *more))).folder
    rows = [row for row in metrics_log.read(folder) if "train/lm_loss" in row]
    assert rows[-1]["train/loss"] < 0.5 * rows[0]["train/loss"]


def test_it_begins_with_the_language_models_own_head_of_another_run(words, quick, tmp_path, texts):
    own = [word for word in words("bert") if word not in JOINT[:2]]
    first = train(quick(*own, "data.target=tokens", "task=masked_lm", "trainer.max_epochs=1", "test=null")).folder
    trained = load(first / "checkpoints" / "best.ckpt")["state_dict"]
    joint = [*words("bert", f"init_from={first}"), "callback=none", "test=last"]
    found = find(str(first), True)
    parts = assemble(quick(*joint), tmp_path, {}, found)
    assert "except for the language model's own, which was loaded" in found.head
    theirs = {name.removeprefix("head.lm_head."): t for name, t in trained.items() if name.startswith("head.lm_head.")}
    ours = {name.removeprefix("language.lm_head."): t for name, t in parts.task.head.state_dict().items()}
    assert theirs and all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_it_says_which_words_begin_random_unless_another_run_gave_them(words, quick, tmp_path, small_text, caplog):
    folder = tmp_path / "bare"
    shutil.copytree(small_text("bert"), folder)
    save_file(
        Transformers(small_text("bert"), weights=None).net.state_dict(), folder / "model.safetensors", {"format": "pt"}
    )
    model = [f"backbone.name={folder}", "backbone.weights=pretrained"]
    own = [word for word in words("bert") if word not in JOINT[:2]]
    lm = quick(*own, *model, "data.target=tokens", "task=masked_lm", "trainer.max_epochs=1", "test=null")
    first = train(lm).folder
    assert "initialised at random" in caplog.text
    for start, warned in ((None, True), (find(str(first), True), False)):
        caplog.clear()
        assemble(quick(*words("bert"), *model, "callback=none", "test=last"), tmp_path, {}, start)
        assert ("initialised at random" in caplog.text) == warned


def test_several_labels_and_values_too(words, quick, tmp_path, small_text):
    file = tmp_path / "values.csv"
    file.write_text("text,label\n" + "".join(f"good film {'very ' * (i % 3)},{i}.5\n" for i in range(40)))
    own = ["data=text_table", f"data.file={file}", "backbone=transformers", f"backbone.name={small_text('bert')}"]
    joint = ["task=regression", "+task.lm_loss_weight=0.1", "head=joint", *JOINT[1:], "trainer.max_epochs=1"]
    assert "test/mae" in train(quick(*own, *joint)).metrics


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["task=classification"], r"no data\.unlabelled for a task that learns from labels alone but got some"),
        (
            ["data.unlabelled=null"],
            r"texts without labels for task\.lm_loss_weight=0\.1 but got none; give data\.unlab",
        ),
        (["trainer=fsdp", "trainer.accelerator=cpu"], r"only what is known .* a language model's own head"),
        (
            ["head=linear"],
            r"a head with a language model's own for task\.lm_loss_weight=0\.1 but got Linear; use head=joint",
        ),
        (
            ["task.lm_loss_weight=0"],
            r"task\.lm_loss_weight to be above 0 with data\.unlabelled but got 0; use task=classification",
        ),
        (["policy=linear_probe"], r"a policy that trains the backbone for task\.lm_loss_weight=0\.1"),
        (["task.lm_loss_weight=-1"], r"task\.lm_loss_weight to be 0 or more but got -1\."),
    ],
)
def test_each_mistake_is_one_sentence(more, sentence, words, quick):
    with pytest.raises((ConfigError, PolicyError), match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        train(quick(*words("bert", *more)))

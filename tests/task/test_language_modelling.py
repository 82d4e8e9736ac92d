from __future__ import annotations

import shutil

import pytest
import torch
import transformers

from tunesmith.run.assembly.assemble import assemble


@pytest.mark.parametrize(("task", "name"), [("causal_lm", "gpt2"), ("masked_lm", "bert"), ("seq2seq", "bart")])
def test_a_step_is_that_of_the_library(task, name, quick, small_text, texts, tmp_path):
    """Loss and gradients of the whole task, on a batch of its own data, with the library's model and its labels."""
    shutil.copytree(small_text(name), tmp_path / name)
    kinds = {"causal_lm": "AutoModelForCausalLM", "masked_lm": "AutoModelForMaskedLM"}
    library = getattr(transformers, kinds.get(task, "AutoModelForSeq2SeqLM"))
    library.from_config(transformers.AutoConfig.from_pretrained(tmp_path / name)).save_pretrained(tmp_path / name)
    reference = library.from_pretrained(tmp_path / name).eval()
    files = {"seq2seq": ["data=pair_table", "data.source=text", "data.target=text"]}
    data = [*files.get(task, ["data=text_table", "data.target=tokens"]), f"data.file={texts}"]
    own = ["backbone=transformers", f"backbone.name={tmp_path / name}", f"task={task}", "data.group_by_length=false"]
    parts = assemble(quick(*data, *own), tmp_path, {})
    batch = next(iter(parts.data.train_dataloader()))
    model = parts.task.eval()
    model.trainer = parts.trainer
    loss = model.step(batch, "train")[0]["target"].mean
    x = {key: batch["input"][key] for key in ("input_ids", "attention_mask")}
    labels = batch["target"]
    if task == "causal_lm":  # the library shifts them itself
        labels = x["input_ids"].masked_fill(x["attention_mask"] == 0, -100)
    expected = reference(**x, labels=labels).loss
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    loss.backward()
    expected.backward()
    theirs = reference.get_input_embeddings().weight.grad
    ours = model.backbone.net.get_input_embeddings().weight.grad
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert theirs.abs().max() > 1e-3


def spread(batch):
    counts = batch["target"] != -100
    return batch["weight"].unsqueeze(1).expand_as(counts)[counts]


@pytest.mark.parametrize("weighted", [False, True])
def test_only_what_is_hidden_goes_through_the_head_and_gives_the_same(
    weighted, quick, small_text, texts, tmp_path, monkeypatch
):
    data = [
        "data=text_table",
        f"data.file={texts}",
        "data.target=tokens",
        "task=masked_lm",
        "task.monitor=val/perplexity",
    ]
    own = ["backbone=transformers", f"backbone.name={small_text('bert')}", "backbone.weights=null", "task=masked_lm"]
    own.append("task.monitor=val/perplexity")
    parts = assemble(quick(*data, *own), tmp_path, {})
    model, batch = parts.task.eval(), next(iter(parts.data.train_dataloader()))
    batch |= {"weight": torch.arange(len(batch["index"])) + 1.0} if weighted else {}
    model.trainer = parts.trainer
    fewer = model.step(batch, "train")[0]["target"].mean
    monkeypatch.setattr(type(parts.trainer), "world_size", 2)  # where outputs are of all words
    every = model.step(batch, "val")[0]["target"].mean
    if weighted:  # in training by the mean weight of all of train, which is 1 here
        every *= float(spread(batch).mean())
    torch.testing.assert_close(fewer, every)
    counted = int((batch["target"] != -100).sum())
    assert model.train_metrics["perplexity"].weight == counted < batch["target"].numel() / 4

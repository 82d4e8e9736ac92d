"""Runs of language models on texts themselves and on pairs of texts, from their files to texts that are written."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import transformers

from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, PolicyError
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation.outcome import show_mistakes
from tunesmith.run.predict import predict
from tunesmith.run.train import train

MODEL = ["backbone=transformers", "backbone.weights=null", "optimizer.lr=0.02", "data.batch_size=8", "test=last"]
AUROC = "torchmetrics.classification.MulticlassAUROC"
WORDS = ["good", "bad", "dull", "fine", "bold"]


@pytest.fixture(scope="module")
def texts_of_words(tmp_path_factory):
    """A file of sentences that go on as they begin, and a table of words and the same words in capitals' place."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "plain.txt").write_text("the film is so good\nthe poor film is not bad\n" * 240)
    rows = [{"source": f"{WORDS[i % 5]} film", "target": f"the film is {WORDS[i % 5]}"} for i in range(80)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def made(quick_below, small_text, texts_of_words, tmp_path_factory):
    """Runs by task, each made once."""
    own = {
        "causal_lm": ("gpt2", ["data=text_files", f"data.file={texts_of_words}/plain.txt", "data.block_size=16"]),
        "masked_lm": ("bert", ["data=text_files", f"data.file={texts_of_words}/plain.txt", "data.block_size=null"]),
        "seq2seq": ("t5", ["data=pair_table", f"data.file={texts_of_words}/pairs.jsonl", "trainer.max_epochs=6"]),
    }
    more = {"seq2seq": ["task.generate.samples=4", "task.generate.max_new_tokens=8", "task.monitor=val/rougeL"]}
    more["seq2seq"] += ["task.mode=max"]
    runs = {}

    def run(task):
        if task not in runs:
            name, data = own[task]
            words = [*MODEL, f"backbone.name={small_text(name)}", *data, f"task={task}", *more.get(task, [])]
            runs[task] = train(quick_below(tmp_path_factory.mktemp("logs"), *words)).folder
        return runs[task]

    return run


def record(run):
    return json.loads((run / "run.json").read_text())


def call(run, source, output):
    return predict(compose("predict", [f"run={run}", f"input={source}", f"output={output}"]))


@pytest.mark.parametrize("task", ["causal_lm", "masked_lm"])
def test_perplexity_is_that_of_the_loss_and_of_the_saved_rows(task, made):
    metrics = record(made(task))["metrics"]
    assert metrics["test/perplexity"] == pytest.approx(math.exp(metrics["test/loss"]), rel=1e-5)
    assert metrics["test/perplexity"] < 8 and metrics["val/perplexity"] > 1
    rows = pd.read_parquet(made(task) / "predictions.parquet")
    mean = np.average(rows["loss"], weights=rows["tokens"])
    assert math.exp(mean) == pytest.approx(metrics["test/perplexity"], rel=1e-4)
    again = evaluate(compose("evaluate", [f"run={made(task)}"]))
    assert again.metrics["test/perplexity"] == pytest.approx(metrics["test/perplexity"], rel=1e-5)
    assert again.majority_class is None and record(made(task))["data"]["target"] == "tokens"


def test_a_decoder_goes_on_with_a_text(made, tmp_path):
    (tmp_path / "new.txt").write_text("the film is\nthe poor film\n")
    got = call(made("causal_lm"), tmp_path / "new.txt", tmp_path / "out.csv")
    assert list(pd.read_csv(tmp_path / "out.csv").columns) == ["text", "written"]
    assert got.said[0].startswith(("so good", "not bad")) and got.said[1].startswith("is")
    alone = call(made("causal_lm"), "the film is", tmp_path / "b.csv")
    assert alone.said == got.said[:1]  # padding changes nothing


def test_an_encoder_fills_in_what_is_missing(made, tmp_path):
    (tmp_path / "new.txt").write_text("the film [MASK] so good\nso bad\n")
    got = call(made("masked_lm"), tmp_path / "new.txt", tmp_path / "out.csv")
    assert len(got.said[0].split()) == 5 and got.said[0].split()[:2] == ["the", "film"] and got.said[1] == "so bad"


def test_what_is_written_is_scored_shown_and_predicted(made, tmp_path, texts_of_words):
    run = made("seq2seq")
    metrics = record(run)["metrics"]
    rows = pd.read_parquet(run / "predictions.parquet")
    assert list(rows.columns) == ["file", "target", "written", "loss"]
    sacrebleu = pytest.importorskip("sacrebleu")
    bleu = sacrebleu.corpus_bleu(rows["written"].tolist(), [rows["target"].tolist()]).score
    assert metrics["test/bleu"] == pytest.approx(bleu, abs=1e-3) and bleu > 30
    assert {"val/rougeL", "val/chrf", "best/val/rougeL", "test/token_accuracy"} <= metrics.keys()
    assert not any(name.startswith("train/rouge") for name in metrics)
    outcome = evaluate(compose("evaluate", [f"run={run}", "split=test"]))
    assert outcome.metrics["test/bleu"] == pytest.approx(metrics["test/bleu"], abs=1e-3)
    data = type("Data", (), {"test_dataloader": lambda self: type("L", (), {"dataset": Shown()})()})()
    assert all("true: the film is" in caption for caption, _ in show_mistakes(data, outcome))
    got = call(run, texts_of_words / "pairs.jsonl", tmp_path / "out.parquet")
    asked = pd.read_json(texts_of_words / "pairs.jsonl", lines=True)
    assert got.files == asked["source"].tolist()
    for name, written in zip(rows["file"], rows["written"], strict=True):
        assert got.said[int(name.removeprefix("row ")) - 1] == written


class Shown:
    def shown(self, position):
        return ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["task=masked_lm", "backbone.name={gpt2}"], r"an encoder, such as BERT for this task but got a decoder"),
        (["task=causal_lm", "backbone.name={t5}"], r"a decoder, such as GPT-2 for this task but got an encoder-dec"),
        (["task=causal_lm", "backbone.name={gpt2}", "head=linear"], r"a head with an output per token for tokens"),
        (["task=causal_lm", "backbone.name={gpt2}", f"+task.metrics.x={{_target_: {AUROC}}}"], r"no metric of classes"),
        (["task=causal_lm", "backbone.name={gpt2}", "trainer=fsdp", "trainer.accelerator=cpu"], r"only what is known"),
        (
            ["task=causal_lm", "backbone.name={gpt2}", "policy=linear_probe"],
            r".* the head's weights are those of the emb",
        ),
        (["task=classification", "head=linear", "backbone.name={gpt2}"], r"data whose target is class"),
    ],
)
def test_each_mistake_is_one_sentence(words, sentence, quick, small_text, texts_of_words):
    named = [w.replace("{gpt2}", small_text("gpt2")).replace("{t5}", small_text("t5")) for w in words]
    data = ["data=text_files", f"data.file={texts_of_words}/plain.txt", "data.block_size=16"]
    with pytest.raises((ConfigError, PolicyError), match=rf"^Expected {sentence}[^\n]*$"):
        train(quick(*data, *MODEL, *named))


@pytest.mark.parametrize("kind", ["MBartTokenizer", "MBart50Tokenizer"])
def test_a_model_that_is_told_languages(kind, quick, small_text, texts_of_words, tmp_path):
    vocabulary = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary += [(f"\u2581{word}", -1.0) for word in (*WORDS, "the", "film", "is")]
    tokenizer = getattr(transformers, kind)(vocab=vocabulary, src_lang="en_XX")
    tokenizer.save_pretrained(tmp_path / "model")
    config = json.loads((Path(small_text("mbart")) / "config.json").read_text()) | {"vocab_size": len(tokenizer)}
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | special))
    data = ["data=pair_table", f"data.file={texts_of_words}/pairs.jsonl", "data.languages=[en_XX, de_DE]"]
    words = [*MODEL, f"backbone.name={tmp_path / 'model'}", *data, "task=seq2seq", "task.generate.max_new_tokens=8"]
    run = train(quick(*words, "trainer.max_epochs=6")).folder
    (tmp_path / "new.txt").write_text("good film\ndull film")
    call(run, tmp_path / "new.txt", tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv")["written"].tolist()
    assert len(written) == 2
    assert all(text.startswith("the film is") for text in written)  # without the mark, which is no text


def test_images_have_no_words(quick):
    with pytest.raises(ConfigError, match=r"^Expected a language model for head=language_model, such as backbone=tr"):
        train(quick("head=language_model"))

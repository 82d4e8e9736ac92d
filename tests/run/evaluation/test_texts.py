"""A run on texts, from its table to predictions: the same commands as for images."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tunesmith.config.compose import compose
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation.outcome import show_mistakes
from tunesmith.run.predict import predict
from tunesmith.run.train import train


@pytest.fixture(scope="module")
def run(quick_below, small_text, texts, tmp_path_factory):
    """A decoder of which the last block and the norm train: what is in front of it is kept."""
    words = ["data=text_table", f"data.file={texts}", "data.batch_size=8", "backbone=transformers", "test=last"]
    model = [f"backbone.name={small_text('gpt2')}", "backbone.weights=null", "policy=last_stages", "policy.stages=2"]
    return train(quick_below(tmp_path_factory.mktemp("logs"), *words, *model, "optimizer.lr=0.01")).folder


def call(run, source, output, *more):
    return predict(compose("predict", [f"run={run}", f"input={source}", f"output={output}", *more]))


def test_texts_get_the_probabilities_that_the_run_gave_them(run, texts, tmp_path):
    call(run, texts, tmp_path / "out.csv", "checkpoint=last", "batch_size=8")
    got = pd.read_csv(tmp_path / "out.csv")
    assert list(got.columns) == ["text", "label", *(f"p_{name}" for name in "abcde")]
    assert got["text"].tolist() == pd.read_csv(texts)["text"].tolist()
    recorded = pd.read_parquet(run / "predictions.parquet")
    rows = [int(name.removeprefix("row ")) - 1 for name in recorded["file"]]
    np.testing.assert_allclose(got.loc[rows, "p_a"], recorded["p_a"], atol=1e-6)
    assert got.loc[rows, "label"].tolist() == recorded["label"].tolist()


def test_a_text_a_line_and_a_text_itself(run, tmp_path):
    (tmp_path / "new.txt").write_text("bad film\nthe good film\n")
    both = call(run, tmp_path / "new.txt", tmp_path / "a.csv")
    alone = call(run, "the good film", tmp_path / "b.csv")
    assert both.files == ["bad film", "the good film"] and alone.files == ["the good film"]
    np.testing.assert_allclose(alone.values[0], both.values[1], atol=1e-6)


def test_the_split_is_evaluated_and_the_record_says_what_the_data_are(run):
    outcome = evaluate(compose("evaluate", [f"run={run}", "checkpoint=last"]))
    record = json.loads((run / "run.json").read_text())
    assert outcome.metrics["test/loss"] == pytest.approx(record["metrics"]["test/loss"], abs=1e-6)
    assert (record["data"]["input"], record["data"]["truncated"]) == ("text", 0)
    assert record["cache"]["computed"] or record["cache"]["said"]
    data = type("Data", (), {"test_dataloader": lambda self: type("Loader", (), {"dataset": Shown()})()})()
    caption, text = show_mistakes(data, outcome)[0]
    assert "true: " in caption and text.startswith("text ")


class Shown:
    def shown(self, position):
        return f"text {position}"


def test_texts_that_are_cut_are_told_of(run, tmp_path, caplog):
    (tmp_path / "a.txt").write_text("good\n" + "very " * 300 + "good\n")
    call(run, tmp_path / "a.txt", tmp_path / "out.csv")
    assert "1 of 2 texts (50.0%) are longer than" in caplog.text and "first row 2" in caplog.text


@pytest.mark.parametrize(
    ("task", "labels", "metric"),
    [
        ("multi_label", "labels", "test/macro_f1"),
        ("regression", "score", "test/mae"),
        ("ordinal", "stars", "test/accuracy"),
    ],
)
def test_pairs_and_other_targets(task, labels, metric, quick, small_text, tmp_path):
    """A judge of pairs: everything but the columns is as for images."""
    words = ["good", "bad", "dull", "fine"]
    rows = [
        {
            "first": f"the film is {words[i % 4]}",
            "second": words[i % 3],
            "labels": [words[i % 4], words[i % 3]],
            "score": i % 5 + 0.5,
            "stars": i % 3,
        }
        for i in range(60)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = [f"data.file={tmp_path}/pairs.jsonl", "data.text=first", "data.second=second", f"data.labels={labels}"]
    kinds = {"multi_label": ['data.separator=";"'], "ordinal": ["data.target=ordinal"]}
    model = [f"backbone.name={small_text('bert')}", "backbone.weights=null", "trainer.max_epochs=1"]
    done = train(quick("data=text_table", "backbone=transformers", f"task={task}", *data, *kinds.get(task, []), *model))
    assert metric in done.metrics
    call(done.folder, tmp_path / "pairs.jsonl", tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["text"][0] == "the film is good\tgood"

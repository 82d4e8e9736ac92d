"""A run on questions, from its file to answers to new ones."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tunesmith.config.compose import compose
from tunesmith.errors import DataError
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation.outcome import show_mistakes
from tunesmith.run.predict import predict
from tunesmith.run.train import train
from tunesmith.target.result.answer import exact_match, f1


@pytest.fixture(scope="module")
def run(quick_below, small_text, tmp_path_factory):
    """A run on reports that take two windows each."""
    words = ["data=synthetic_questions", "data.samples=80", "data.max_length=48", "data.stride=8", "data.batch_size=8"]
    model = ["backbone=transformers", f"backbone.name={small_text('bert')}", "backbone.weights=null"]
    task = ["task=question_answering", "trainer.max_epochs=1", "optimizer.lr=0.01", "test=last"]
    return train(quick_below(tmp_path_factory.mktemp("logs"), *words, *model, *task)).folder


def test_a_row_a_question_whatever_windows_it_was_asked_of(run):
    record = json.loads((run / "run.json").read_text())
    metrics, data = record["metrics"], record["data"]
    assert (data["target"], data["class_names"], data["truncated"]) == ("span", ["answer", "no answer"], 0)
    said = pd.read_parquet(run / "predictions.parquet")
    assert list(said.columns) == ["file", "target", "label", "score"]
    assert len(said) == sum(data["splits"]["test"].values()) == 20 and said["file"].str.match(r"question\d+$").all()
    pairs = [((t,) if t else (), s) for t, s in zip(said["target"], said["label"], strict=True)]
    for name, score in (("exact_match", exact_match), ("f1", f1)):
        assert metrics[f"test/{name}"] == pytest.approx(np.mean([score(s, t) for t, s in pairs]), abs=1e-6)
        assert record["majority"][f"test/{name}"] == pytest.approx((said["target"] == "").mean())
    rows = pd.read_csv(run / "per_class.tsv", sep="\t")
    assert rows["questions"].tolist() == ["answer", "no answer"] and rows["support"].sum() == 20


def test_evaluate_says_the_same_and_shows_what_is_wrong(run):
    outcome = evaluate(compose("evaluate", [f"run={run}"]))
    metrics = json.loads((run / "run.json").read_text())["metrics"]
    assert outcome.metrics["test/f1"] == pytest.approx(metrics["test/f1"])
    assert outcome.metrics["test/loss"] == pytest.approx(metrics["test/loss"], abs=1e-6)
    data = type("Data", (), {"test_dataloader": lambda self: type("Loader", (), {"dataset": Shown()})()})()
    positions = [int(text.split()[1]) for _, text in show_mistakes(data, outcome)]
    assert positions and set(positions) <= set(outcome.predictions.places) and max(positions) >= 20


class Shown:
    def shown(self, position):
        return f"text {position}"


def test_new_questions_get_answers_with_their_places(run, tmp_path, capsys):
    text = "Bermor is good. " + "The film is so very dull. " * 12 + "Venkal is bad."
    rows = [{"question": "Who is bad?", "context": text}, {"question": "Who is good?", "context": "Bermor is good."}]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = [f"run={run}", f"output={tmp_path}/out.csv", "checkpoint=last"]
    predict(compose("predict", [*words, f"input={tmp_path}/new.jsonl"]))
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(table.columns) == ["row", "question", "text", "answer", "begin", "end", "score"]
    assert table["row"].tolist() == [1, 2] and table["text"].tolist() == [text, "Bermor is good."]
    for row in table.itertuples():
        assert row.answer == (row.text[int(row.begin) : int(row.end)] if row.begin != "" else "")
    assert "Who is bad?" in capsys.readouterr().out
    squad = {"paragraphs": [{"context": text, "qas": [{"id": "a", "question": "Who is bad?"}]}]}
    (tmp_path / "new.json").write_text(json.dumps({"data": [squad]}))
    found = predict(compose("predict", [*words, f"input={tmp_path}/new.json"]))
    assert found.said == [table["answer"][0]]
    with pytest.raises(DataError, match=r"the columns 'question' and 'context', or a .json file"):
        predict(compose("predict", [*words, "input=Who is bad?"]))

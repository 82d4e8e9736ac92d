"""A run on words with tags, from its file to entities in new texts."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tunesmith.config.compose import compose
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation.outcome import show_mistakes
from tunesmith.run.predict import predict
from tunesmith.run.train import train
from tunesmith.target.result.entity import entities

MODEL = ["backbone=transformers", "backbone.weights=null", "optimizer.lr=0.01", "data.batch_size=8"]


@pytest.fixture(scope="module")
def run(quick_below, small_text, tagged, tmp_path_factory):
    """A run that learns most of which word begins an entity."""
    words = ["data=token_table", f"data.file={tagged}", "task=token_classification", "trainer.max_epochs=3"]
    name = f"backbone.name={small_text('bert')}"
    return train(quick_below(tmp_path_factory.mktemp("logs"), *words, *MODEL, name)).folder


def test_the_folder_tells_all(run):
    record = json.loads((run / "run.json").read_text())
    metrics = record["metrics"]
    assert record["data"]["target"] == "tags" and sum(record["data"]["splits"]["test"].values()) == 32 * 4
    assert metrics["test/entity_f1"] > 0.5 > record["majority"]["test/entity_f1"] == 0
    assert metrics["test/accuracy"] > record["majority"]["test/accuracy"] > 0.1
    said = pd.read_parquet(run / "predictions.parquet")
    assert list(said.columns) == ["file", "target", "label"] and len(said) == 32
    assert said["file"].str.match(r"tags.conll:\d+").all()
    pairs = [
        (entities(tuple(t.split())), entities(tuple(s.split())))
        for t, s in zip(said["target"], said["label"], strict=True)
    ]
    right = sum(len(t & s) for t, s in pairs)
    f1 = 2 * right / sum(len(t) + len(s) for t, s in pairs)
    assert f1 == pytest.approx(metrics["test/entity_f1"])
    rows = pd.read_csv(run / "per_class.tsv", sep="\t")
    assert rows["entity"].tolist() == ["HIGH", "LOW"] and rows["support"].sum() == sum(len(t) for t, _ in pairs)


def test_evaluate_says_the_same_and_shows_what_is_wrong(run):
    outcome = evaluate(compose("evaluate", [f"run={run}"]))
    metrics = json.loads((run / "run.json").read_text())["metrics"]
    assert outcome.metrics["test/entity_f1"] == pytest.approx(metrics["test/entity_f1"])
    assert outcome.metrics["test/loss"] == pytest.approx(metrics["test/loss"], abs=1e-6)
    found = outcome.predictions
    assert (found.wrongness() > 0).any() == (found.said != found.targets)
    data = type("Data", (), {"test_dataloader": lambda self: type("Loader", (), {"dataset": Shown()})()})()
    for caption, text in show_mistakes(data, outcome):
        assert "true: " in caption and text.startswith("text ")


class Shown:
    def shown(self, position):
        return f"text {position}"


def test_new_texts_get_entities_with_their_places(run, tmp_path, capsys):
    (tmp_path / "new.txt").write_text("the film, so bad\nvery\n  bold fine\n")
    words = [f"run={run}", f"input={tmp_path}/new.txt", f"output={tmp_path}/out.csv"]
    found = predict(compose("predict", words))
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["row", "text", "begin", "end", "entity", "label", "score"]
    assert set(table["row"]) == {1, 2, 3} and found.files[0] == "the film, so bad"
    for row in table.dropna().itertuples():
        assert row.text[int(row.begin) : int(row.end)] == row.entity
        assert row.label in ("HIGH", "LOW") and 0.2 < row.score <= 1
    assert "bad" in set(table["entity"])
    shown = capsys.readouterr().out
    assert "LOW" in shown and "Predictions of 3 texts" in shown
    predict(compose("predict", [*words[:2], f"output={tmp_path}/out.parquet", "batch_size=1"]))
    again = pd.read_parquet(tmp_path / "out.parquet")
    assert again["label"].dropna().tolist() == table["label"].dropna().tolist()


def test_tags_that_are_no_entities(quick, small_text, tmp_path):
    """Parts of speech; and words that no model of ten tokens sees."""
    words = ["the", "film", "is", "good"] * 3
    sentence = "\n".join(f"{word} {word[0].upper()}" for word in words)
    (tmp_path / "tags.conll").write_text("\n\n".join([sentence] * 40))
    data = ["data=token_table", f"data.file={tmp_path}/tags.conll", "task=tagging", "data.max_length=10"]
    result = train(quick(*data, *MODEL, f"backbone.name={small_text('bert')}", "trainer.max_epochs=1"))
    assert result.metrics["test/accuracy"] <= 8 / 12 + 1e-6
    said = pd.read_parquet(result.folder / "predictions.parquet")
    assert said["label"].str.endswith(" _ _ _ _").all() and not (result.folder / "per_class.tsv").exists()
    found = predict(compose("predict", [f"run={result.folder}", "input=the film", f"output={tmp_path}/out.csv"]))
    assert found.table()["word"].to_pylist() == ["the", "film"]

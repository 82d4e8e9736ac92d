"""Every kind of target, from a table of images to predictions for files."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, DataError
from tunesmith.run.evaluate import evaluate
from tunesmith.run.predict import predict
from tunesmith.run.train import train

KINDS = {
    "multilabel": ["task=multi_label", "data.labels=[red,blue]", "task.threshold=f1", "loss.pos_weight=auto"],
    "value": ["task=regression", "data.labels=[bright,warm]", "data.target=value", "data.mixup=0.2"],
    "ordinal": ["task=ordinal", "data.labels=level", "data.target=ordinal", "data.classes=[low,mid,high]"],
}
COLUMNS = {
    "multilabel": ["file", "target_red", "target_blue", "label", "p_red", "p_blue"],
    "value": ["file", "target_bright", "target_warm", "bright", "warm"],
    "ordinal": ["file", "target", "label", "level", "p_low", "p_mid", "p_high"],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of one colour each and what is to be said of them, with a weight an image."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 1, (60, 3))
    for i, colour in enumerate(colours):
        pixels = np.broadcast_to(colour, (12, 12, 3)) + rng.normal(0, 0.05, (12, 12, 3))
        Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(root / f"{i:02}.png")
    table = pd.DataFrame({"path": [f"{i:02}.png" for i in range(60)], "bright": 100 + 10 * colours.mean(1)})
    table["red"], table["blue"] = (colours[:, [0, 2]] > 0.5).astype(int).T
    table["warm"] = colours[:, 0] - colours[:, 2]
    table["level"] = pd.qcut(table["bright"], 3, labels=["low", "mid", "high"])
    table["colour"] = np.where(table["red"], "red", "other")
    table.assign(weight=rng.uniform(0, 2, 60)).to_csv(root / "table.csv", index=False)
    return root


@pytest.fixture(scope="module")
def make(images, quick_below, tmp_path_factory):
    def make(*options):
        small = [
            "backbone.image_size=12",
            "data.batch_size=16",
            "data.augment=none",
            "trainer.max_epochs=1",
            "plots=true",
        ]
        data = ["data=image_table", f"data.file={images / 'table.csv'}"]
        return quick_below(tmp_path_factory.mktemp("logs"), *data, *small, *options)

    return make


@pytest.fixture(scope="module", params=list(KINDS))
def run(request, make):
    return request.param, train(make(*KINDS[request.param]))


def test_the_folder_tells_all(run):
    kind, result = run
    record = json.loads((result.folder / "run.json").read_text())
    assert record["data"]["target"] == kind
    assert set(record["majority"]) == {k for k in record["metrics"] if k.startswith("test/")} - {"test/loss"}
    predictions = pd.read_parquet(result.folder / "predictions.parquet")
    assert list(predictions.columns) == COLUMNS[kind] and len(predictions) == 15
    assert len(pd.read_csv(result.folder / "per_class.tsv", sep="\t")) == len(record["data"]["class_names"])
    drawn = {p.stem for p in (result.folder / "plots").iterdir()}
    assert drawn == {"training_curves", {"multilabel": "labels", "value": "values"}.get(kind, "confusion_matrix")}


def test_metrics_follow_from_the_predictions_that_are_saved(run):
    kind, result = run
    table = pd.read_parquet(result.folder / "predictions.parquet")
    if kind == "value":
        errors = table[["bright", "warm"]].to_numpy() - table[["target_bright", "target_warm"]].to_numpy()
        assert result.metrics["test/mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
        assert result.metrics["test/mae"] < 100  # in units: outputs as they are would be off by the mean
    elif kind == "ordinal":
        assert result.metrics["test/accuracy"] == pytest.approx((table["label"] == table["target"]).mean())
    else:
        said = np.stack([table["label"].str.split(", ").map(lambda names, n=n: n in names) for n in ("red", "blue")], 1)
        right = (said == table[["target_red", "target_blue"]].to_numpy()).all(1).mean()
        assert result.metrics["test/exact_match"] == pytest.approx(right)


def test_evaluate_and_predict_say_the_same(run, images, tmp_path, capsys):
    kind, result = run
    outcome = evaluate(compose("evaluate", [f"run={result.folder}"]))
    assert outcome.metrics == pytest.approx(
        {k: v for k, v in result.metrics.items() if k.startswith("test/")}, abs=1e-5
    )
    (folder,) = (result.folder / "evaluations").iterdir()
    before = pd.read_parquet(result.folder / "predictions.parquet")
    pd.testing.assert_frame_equal(before, pd.read_parquet(folder / "predictions.parquet"), atol=1e-5)
    assert (folder / "per_class.tsv").is_file()
    words = [f"run={result.folder}", f"input={images}/*.png", f"output={tmp_path / 'out.csv'}"]
    found = predict(compose("predict", words))
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(table.columns) == [c for c in COLUMNS[kind] if not c.startswith("target")]
    table.index = table["file"].str.removeprefix(f"{images}/")
    for column in table.columns[1:]:
        got = table.loc[before["file"], column].to_list()
        assert got == (before[column].to_list() if column == "label" else pytest.approx(before[column], abs=1e-4))
    assert all(line in capsys.readouterr().out for line in found.summary()[:1])


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (["task=regression", "data.labels=colour"], ConfigError, "target is value for Regression but got 'class'"),
        (["data.labels=[red,blue]"], ConfigError, "target is class for Classification but got 'multilabel'"),
        ([*KINDS["value"], "loss=cross_entropy"], ConfigError, "for value targets but got CrossEntropy"),
        ([*KINDS["ordinal"], "loss=mse"], ConfigError, "for ordinal targets but got MSELoss"),
        ([*KINDS["value"], "+task.threshold=f1"], ConfigError, "task.threshold"),
        (["data.labels=level", "task.threshold=f1"], ConfigError, "two classes for task.threshold=f1 but got 3"),
        (["data.labels=colour", "task.temperature=true", "data.split.val=0"], ConfigError, "a validation split to fit"),
        (
            ["data.labels=colour", "task.metrics.accuracy.average=none"],
            ConfigError,
            "task.metrics.accuracy to return one",
        ),
        (["data.labels=colour", "loss.class_weight=[1,2,3]"], ConfigError, "2 positive numbers but got"),
    ],
)
def test_what_does_not_fit_is_one_sentence(make, options, error, sentence):
    from tunesmith.config.check.check import check

    with pytest.raises(error, match=sentence) as caught:
        cfg = make(*options)
        check(cfg)
        train(cfg)
    assert "\n" not in str(caught.value)


def test_other_data_must_have_the_same_kind(run, images):
    _, result = run
    words = [f"run={result.folder}", "data=image_table", f"data.file={images / 'table.csv'}", "data.labels=colour"]
    with pytest.raises(DataError, match="as the run was trained on, but got classes"):
        evaluate(compose("evaluate", words))

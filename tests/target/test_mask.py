"""Masks, from what is counted of them to predictions for files."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tunesmith.config.compose import compose
from tunesmith.contract.batch import IGNORED
from tunesmith.contract.spec import DataSpec
from tunesmith.data.synthetic.synthetic_masks import draw
from tunesmith.errors import ConfigError, DataError
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation.outcome import show_mistakes
from tunesmith.run.predict import predict
from tunesmith.run.train import train
from tunesmith.target.mask import TARGET, accuracy, iou

NAMES = ("ground", "disc", "square")
MASKS = [np.array([[0, 0, 1], [0, IGNORED, 1]]), np.array([[2, 2]])]
WORDS = ["data=synthetic_masks", "data.samples=80", "data.batch_size=8", "task=segmentation", "optimizer.lr=0.02"]


def test_pixels_are_counted_and_those_that_are_ignored_are_not():
    assert TARGET.counts(MASKS, NAMES).tolist() == [3, 2, 2]
    assert TARGET.occurrences(MASKS, NAMES).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert [TARGET.in_words(mask, NAMES) for mask in MASKS] == ["ground, disc", "square"]


def test_the_digest_is_of_size_and_pixels():
    one, other = TARGET.plain(MASKS, NAMES)
    assert one != other and TARGET.plain([MASKS[0].copy()], NAMES) == [one]
    assert TARGET.plain([MASKS[0].reshape(3, 2)], NAMES) != [one]


@pytest.mark.parametrize(
    ("masks", "names", "sentence"),
    [
        ([np.array([[0, 3]])], NAMES, "indices from 0 to 2, or -100 for ignored pixels, but got 0 to 3"),
        ([np.array([[-1, 0]])], NAMES, "but got -1 to 0"),
        ([np.array([0, 1])], NAMES, r"Expected masks \(H, W\) of int64 but got one of \(2,\)"),
        ([np.array([[0, 1]], np.uint8)], NAMES, "and uint8"),
        (MASKS, ("ground",), "Expected 2 to 255 classes for masks but got 1"),
    ],
)
def test_what_is_no_mask_is_refused(masks, names, sentence):
    TARGET.check(MASKS, NAMES)
    with pytest.raises(DataError, match=sentence):
        TARGET.check(masks, names)


def test_train_must_have_pixels_of_every_class():
    with pytest.raises(DataError, match="every class in train but got none of disc"):
        TARGET.check_train(["disc"], "images")


def test_the_baseline_is_the_class_of_most_pixels():
    said, name = TARGET.always(DataSpec(NAMES, 3, "", "sample", train_counts=(1, 5, 2)))
    assert (said.tolist(), name, TARGET.quoted(name)) == ([0, 1, 0], "disc", "“disc”")


def test_a_class_that_is_absent_has_no_iou_and_an_image_without_pixels_no_accuracy():
    confusion = np.array([[[3, 1, 0], [2, 4, 0], [0, 0, 0]], np.zeros((3, 3), int)])
    assert iou(confusion[0])[:2].tolist() == [3 / 6, 4 / 7] and np.isnan(iou(confusion)[0, 2])
    assert accuracy(confusion)[0] == 7 / 10 and np.isnan(accuracy(confusion)[1])


@pytest.fixture(scope="module")
def run(quick_below, tmp_path_factory):
    return train(quick_below(tmp_path_factory.mktemp("logs"), *WORDS, "trainer.max_epochs=6", "plots=true"))


def test_the_folder_tells_all(run):
    record = json.loads((run.folder / "run.json").read_text())
    assert record["data"]["target"] == "mask"
    assert run.metrics["test/mean_iou"] > 0.5 > record["majority"]["test/mean_iou"] > 0.2
    found = pd.read_parquet(run.folder / "predictions.parquet")
    assert list(found.columns) == ["file", "pixel_accuracy", "iou_background", "iou_disc", "iou_square"]
    assert len(found) == 20 and found["iou_disc"].isna().any() and not found["iou_background"].isna().any()
    rows = pd.read_csv(run.folder / "per_class.tsv", sep="\t")
    assert list(rows.columns) == ["class", "iou", "pixels"]
    assert rows["iou"].mean() == pytest.approx(run.metrics["test/mean_iou"], rel=1e-5)
    assert rows["pixels"].tolist() == list(record["data"]["splits"]["test"].values())
    assert {path.stem for path in (run.folder / "plots").iterdir()} == {"training_curves", "confusion_matrix"}


def test_evaluate_says_the_same_and_shows_what_is_wrong(run):
    outcome = evaluate(compose("evaluate", [f"run={run.folder}"]))
    tested = {name: value for name, value in run.metrics.items() if name.startswith("test/")}
    assert outcome.metrics == pytest.approx(tested, abs=1e-5)
    wrong = outcome.predictions.wrongness()
    table = pd.read_parquet(run.folder / "predictions.parquet")
    assert wrong == pytest.approx(1 - table["pixel_accuracy"], abs=1e-3) and wrong.max() > 0
    assert "pixels wrong, true: background" in outcome.predictions.caption(int(wrong.argmax()))
    shown = type("Data", (), {"test_dataloader": lambda self: type("Loader", (), {"dataset": Shown()})()})()
    assert show_mistakes(shown, outcome)[0][1] == int(wrong.argmax())


class Shown:
    def shown(self, position):
        return position


def test_files_get_the_share_of_each_class(run, tmp_path, capsys):
    drawn = [draw(np.random.default_rng(seed), 32, 0.1, 0) for seed in range(6)]
    for i, (image, _) in enumerate(drawn):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    (tmp_path / "3b.png").write_text("no image")
    words = [f"run={run.folder}", f"input={tmp_path}/*.png", f"output={tmp_path}/out.csv", "on_bad_file=skip"]
    predict(compose("predict", words))
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["file", "share_background", "share_disc", "share_square"]
    assert table["file"].str.extract(r"(\w+)\.png")[0].tolist() == ["0", "1", "2", "3", "3b", "4", "5"]
    shares = table.iloc[:, 1:].to_numpy()
    assert np.isnan(shares[4]).all()
    found = np.delete(shares, 4, axis=0)
    assert found.sum(axis=1) == pytest.approx(np.ones(6))
    assert found == pytest.approx(np.stack([TARGET.counts([mask], NAMES) for _, mask in drawn]) / 32**2, abs=0.15)
    assert "of the pixels background" in capsys.readouterr().out


def test_frozen_stages_keep_their_bits(quick):
    folder = train(quick(*WORDS, "policy=last_stages", "policy.stages=1", "cache=off")).folder
    found = json.loads((folder / "run.json").read_text())["policy"]["check"]
    assert (found["frozen"], found["frozen_moved"], found["trained_unmoved"]) == (12, [], [])


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (["head=linear"], ConfigError, "an output per pixel for mask targets but got Linear, .* use head=pixel_linear"),
        (["loss=mse"], ConfigError, "for mask targets but got MSELoss"),
        (["task=classification", "head=linear"], ConfigError, "target is class for Classification but got 'mask'"),
        (["data.augment=light"], DataError, "data.augment=none for images with masks, .* but got light"),
        (["data.test_views=flips"], DataError, "data.test_views=none for images with masks"),
        (["data.mixup=0.2"], DataError, "data.mixup=0 and data.cutmix=0 for masks"),
        (["data.sampler=balanced"], DataError, "data.sampler=shuffled where the targets are no classes but mask"),
    ],
)
def test_what_does_not_fit_is_one_sentence(quick, options, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        train(quick(*WORDS, *options))
    assert "\n" not in str(caught.value)

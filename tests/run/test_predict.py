from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tunesmith.config.compose import compose
from tunesmith.errors import DataError
from tunesmith.run.evaluate import evaluate
from tunesmith.run.predict import predict
from tunesmith.run.session import Session, Typed
from tunesmith.run.train import train


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two classes of coloured images of several sizes and formats, in folders."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (root / name).mkdir()
        for i in range(20):
            pixels = rng.integers(0, 120, (24 + i, 40 - i // 2, 3), dtype=np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(root / name / f"{i:02}.{'png' if i % 2 else 'jpg'}")
    return root


@pytest.fixture(scope="module", params=["32-true", "bf16-mixed"])
def run(request, images, quick_below, tmp_path_factory):
    """As the demo is: averaged weights, a network with the convolutions that bf16-mixed leaves to float32."""
    options = ["data=image_folder", f"data.root={images}", "data.batch_size=8", "test=last", "callback=[quiet,ema]"]
    network = ["backbone=timm", "backbone.weights=null", "backbone.image_size=32", f"trainer.precision={request.param}"]
    return train(quick_below(tmp_path_factory.mktemp("logs"), *options, *network, "trainer.max_epochs=1")).folder


def call(run, source, output, *more):
    return predict(compose("predict", [f"run={run}", f"input={source}", f"output={output}", *more]))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_get_the_probabilities_that_the_run_gave_them(run, images, tmp_path, kind):
    """Preprocessing is the training run's: same images, same bits."""
    output = tmp_path / f"out.{kind}"
    call(run, images, output, "checkpoint=last", "batch_size=8")
    got = pd.read_csv(output) if kind == "csv" else pd.read_parquet(output)
    assert list(got.columns) == ["file", "label", "p_blue", "p_red"]
    assert len(got) == 40
    recorded = pd.read_parquet(run / "predictions.parquet").set_index("file")
    got["file"] = [name.removeprefix(f"{images}/") for name in got["file"]]
    both = got.set_index("file").loc[recorded.index]
    assert len(both) == 10
    np.testing.assert_allclose(both[["p_blue", "p_red"]], recorded[["p_blue", "p_red"]], atol=1e-6)
    assert (both["label"] == recorded["label"]).all()


@pytest.mark.parametrize(
    ("count", "typed", "tested", "said"),
    [
        (3, [], 6, "All 6 images are tested"),
        (8, ["data.split.test=0.5"], 8, "8 of 16 images are tested"),
        (20, [], 10, "10 of 40 images are tested"),  # the run's own: none that was trained on
    ],
)
def test_other_data_with_the_same_classes_can_be_evaluated(run, images, tmp_path, capsys, count, typed, tested, said):
    for label in ("blue", "red"):
        (tmp_path / label).mkdir()
        for file in sorted((images / label).iterdir())[:count]:
            shutil.copy(file, tmp_path / label)
    words = [f"run={run}", "data=image_folder", f"data.root={tmp_path}", "checkpoint=last"]
    outcome = evaluate(compose("evaluate", [*words, *typed]), Session(typed=Typed(tuple(typed))))
    assert len(outcome.predictions.files) == tested
    output = " ".join(capsys.readouterr().out.split())
    assert said in output
    assert "may have been trained on" not in output


def test_the_training_data_may_be_gone(run, images, tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith.data.image.image_folder.ImageFolder.load", lambda self: 1 / 0)
    assert len(call(run, images / "red" / "*.png", tmp_path / "out.csv").files) == 10


@pytest.mark.parametrize(("output", "sentence"), [("out.txt", "csv or .parquet"), ("no/out.csv", "folder of output")])
def test_a_bad_output_is_refused_before_anything_is_loaded(tmp_path, monkeypatch, output, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=sentence):
        call("nowhere", "nothing", output)


def test_broken_images_are_skipped_where_asked(run, images, tmp_path, capsys):
    for name in ("00.jpg", "02.jpg"):
        shutil.copy(images / "red" / name, tmp_path)
    cut = (tmp_path / "00.jpg").read_bytes()[:-100]
    (tmp_path / "01.jpg").write_bytes(cut)
    (tmp_path / "list.csv").write_text("file\n00.jpg\n01.jpg\ngone.jpg\n02.jpg\n")
    output = tmp_path / "out.csv"
    call(run, tmp_path / "list.csv", output, "on_bad_file=skip")
    got = pd.read_csv(output)
    assert [name.rpartition("/")[2] for name in got["file"]] == ["00.jpg", "01.jpg", "gone.jpg", "02.jpg"]
    assert got["label"].isna().tolist() == got["p_red"].isna().tolist() == [False, True, True, False]
    said = " ".join(capsys.readouterr().out.split())
    assert "Skipped" in said and "there is no such file" in said and "2 could not be read" in said
    with pytest.raises(DataError, match=r"some readable images but 1 of 1 are not"):
        call(run, tmp_path / "01.jpg", output, "on_bad_file=skip")


def test_a_broken_image_is_found_before_the_model_runs(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith.run.predict.trainer_for", lambda *_: 1 / 0)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.png"):
        call(run, tmp_path, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()

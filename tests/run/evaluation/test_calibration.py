"""Temperature and threshold: fitted on validation, kept with the run, and used wherever it is used."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tunesmith.config.compose import compose
from tunesmith.errors import RunError
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation.calibration import recorded
from tunesmith.run.predict import predict
from tunesmith.run.record import metrics_log
from tunesmith.run.train import train


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two classes that overlap, one of them rare."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, number, middle in (("common", 100, 110), ("rare", 40, 140)):
        (root / name).mkdir()
        for i in range(number):
            Image.fromarray(rng.normal(rng.normal(middle, 20), 10, (8, 8, 3)).clip(0, 255).astype(np.uint8)).save(
                root / name / f"{i:03}.png"
            )
    return root


@pytest.fixture(scope="module")
def run(images, quick_below, tmp_path_factory):
    """With averaged weights, of which the last are tested, and two views of each image."""
    options = ["data=image_folder", f"data.root={images}", "data.split.val=0.3", "data.test_views=flips", "test=last"]
    network = ["backbone.image_size=8", "optimizer.lr=0.01", "trainer.max_epochs=3", "callback=[quiet,ema]"]
    calibration = ["task.temperature=true", "task.threshold=balanced_accuracy"]
    return train(quick_below(tmp_path_factory.mktemp("logs"), *options, *network, *calibration))


def record(run):
    return json.loads((run.folder / "run.json").read_text())


def test_both_checkpoints_have_their_own(run):
    found = record(run)["calibration"]
    assert set(found) == {"best", "last"}
    assert all(0.05 <= d["temperature"] <= 20 and len(d["threshold"]) == 1 for d in found.values())
    assert found["last"]["temperature"] != 1 and found["last"]["threshold"] != [0.5]


def test_it_is_fitted_on_validation_to_the_weights_that_are_tested(run):
    """No other temperature is better for the averaged weights on validation, and no other threshold."""
    outcome = evaluate(compose("evaluate", [f"run={run.folder}", "split=val", "checkpoint=last"]))
    probabilities, target = torch.tensor(outcome.predictions.values).double(), torch.tensor(outcome.predictions.targets)
    # The views are averaged, so that another temperature is not quite a power of what they are with this one.
    nll = {t: F.nll_loss((probabilities.log() / t).log_softmax(-1), target).item() for t in (0.7, 0.95, 1.0, 1.05, 1.4)}
    assert min(nll, key=nll.get) == 1.0
    scores, (used,) = probabilities[:, 1], record(run)["calibration"]["last"]["threshold"]

    def merit(threshold):
        said = scores > threshold
        return said[target == 1].float().mean().item() + (~said[target == 0]).float().mean().item()

    assert merit(used) == max(merit(t) for t in [0.0, *scores.tolist()])
    assert outcome.metrics["val/balanced_accuracy"] == pytest.approx(merit(used) / 2, abs=1e-6)


def test_labels_follow_the_threshold_and_scores_do_not(run):
    table, found = pd.read_parquet(run.folder / "predictions.parquet"), record(run)
    (threshold,) = found["calibration"]["last"]["threshold"]
    assert (table["label"] == np.where(table["p_rare"] > threshold, "rare", "common")).all()
    assert run.metrics["test/accuracy"] == pytest.approx((table["label"] == table["target"]).mean())
    from sklearn.metrics import roc_auc_score

    auroc = roc_auc_score(table["target"] == "rare", table["p_rare"])
    assert run.metrics["test/auroc"] == pytest.approx(auroc, abs=1e-6)


def test_evaluate_and_predict_use_it(run, images, tmp_path):
    outcome = evaluate(compose("evaluate", [f"run={run.folder}", "checkpoint=last"]))
    before = {k: v for k, v in run.metrics.items() if k.startswith("test/")}
    assert outcome.metrics == pytest.approx(before, abs=1e-5)
    out = tmp_path / "out.csv"
    predict(compose("predict", [f"run={run.folder}", f"input={images}", f"output={out}", "checkpoint=last"]))
    got, table = pd.read_csv(out), pd.read_parquet(run.folder / "predictions.parquet")
    got.index = got["file"].str.removeprefix(f"{images}/")
    assert got.loc[table["file"], "label"].to_list() == table["label"].to_list()
    assert got.loc[table["file"], "p_rare"].to_list() == pytest.approx(table["p_rare"].to_list(), abs=1e-5)


def test_temperature_alone_changes_no_label(run, tmp_path):
    """Overconfident: the head's weights times 8."""
    task = rebuild(str(run.folder), "last").task
    outputs = 8 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    target = torch.multinomial((outputs / 8).softmax(-1), 1, generator=torch.Generator().manual_seed(1)).flatten()
    task.threshold = None
    calibration = task.calibrate(outputs, target)
    before, after = task.predictions(outputs, type(calibration)()), task.predictions(outputs, calibration)
    assert calibration.temperature == pytest.approx(8, rel=0.3)
    assert torch.equal(before.argmax(1), after.argmax(1))
    assert F.nll_loss(after.log(), target) < F.nll_loss(before.log(), target)


def test_nothing_of_it_looks_like_a_test_in_the_log(run):
    assert sum("test/loss" in row for row in metrics_log.read(run.folder)) == 1


def test_a_run_that_did_not_get_that_far_is_refused(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "stopped")
    found = record(run)
    del found["calibration"]
    (folder / "run.json").write_text(json.dumps(found))
    with pytest.raises(RunError, match="ended before; resume it with"):
        evaluate(compose("evaluate", [f"run={folder}"]))


def test_a_run_that_asked_for_none_has_none(finished):
    assert "calibration" not in record(finished)
    assert recorded(record(finished), "best", decides=False).threshold is None

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from tunesmith.config.compose import compose
from tunesmith.errors import DataError, RunError
from tunesmith.run.evaluate import evaluate


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, elsewhere: a folder is enough."""
    return shutil.copytree(finished.folder, tmp_path / "moved")


def test_the_test_split_gives_the_recorded_metrics(finished, run, capsys):
    outcome = evaluate(compose("evaluate", [f"run={run}"]))
    said = capsys.readouterr().out
    assert "The data have changed" not in said and "The data are split differently" not in said
    recorded = {k: v for k, v in finished.metrics.items() if k.startswith("test/")}
    assert outcome.metrics == pytest.approx(recorded, abs=1e-6)
    (folder,) = (run / "evaluations").iterdir()
    assert json.loads((folder / "evaluation.json").read_text())["metrics"] == outcome.metrics
    before, after = (pd.read_parquet(f / "predictions.parquet") for f in (run, folder))
    pd.testing.assert_frame_equal(before, after)
    assert (folder / "plots" / "confusion_matrix.png").is_file()


@pytest.mark.parametrize("split", ["train", "val"])
def test_any_split_can_be_evaluated(run, split):
    outcome = evaluate(compose("evaluate", [f"run={run}", f"split={split}", "checkpoint=last"]))
    record = json.loads((run / "run.json").read_text())
    assert len(outcome.predictions.files) == sum(record["data"]["splits"][split].values())
    assert all(name.startswith(f"{split}/") for name in outcome.metrics)


def test_the_best_weights_give_the_best_validation(finished, run):
    outcome = evaluate(compose("evaluate", [f"run={run}", "split=val"]))
    assert outcome.metrics["val/accuracy"] == pytest.approx(finished.metrics["best/val/accuracy"], abs=1e-6)


def test_a_split_that_was_rewritten_is_said(run, capsys):
    record = json.loads((run / "run.json").read_text())
    record["data"]["members"]["test"] = "0"
    (run / "run.json").write_text(json.dumps(record))
    evaluate(compose("evaluate", [f"run={run}"]))
    said = " ".join(capsys.readouterr().out.split())
    assert "split differently than in training" in said and "other images are in test." in said


def test_other_data_with_other_classes_are_refused(run):
    with pytest.raises(DataError, match="Expected the classes that the run was trained on"):
        evaluate(compose("evaluate", [f"run={run}", "data=synthetic"]))


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(RunError, match=str(tmp_path)):
        evaluate(compose("evaluate", [f"run={tmp_path}"]))


def test_a_run_that_never_trained_is_refused(run):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "data": {}, "status": "failed"}))
    with pytest.raises(RunError, match="failed"):
        evaluate(compose("evaluate", [f"run={run}"]))

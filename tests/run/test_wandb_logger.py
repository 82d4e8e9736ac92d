from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tunesmith.run.predictions import Predictions
from tunesmith.run.train import train
from tunesmith.run.wandb_logger import charts
from tunesmith.run.wandb_record import comparable, read_file


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb's own dependencies
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # wandb's service process outlives the run
def test_an_offline_run_holds_what_a_table_of_numbers_cannot_show(quick, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    cfg = quick("logger=wandb", "plots=true", "logger.wandb.group=sweep", "tags=[one]", "policy=linear_probe")
    result = train(cfg)
    (file,) = result.folder.glob("wandb/offline-run-*/run-*.wandb")
    read = read_file(file)
    record = json.loads((result.folder / "run.json").read_text())
    assert read["about"] == {"id": record["id"], "group": "sweep", "job_type": "train", "tags": ["one"]}
    assert {"val/accuracy", "train/loss", "roc_table", "mistakes", "plots/reliability"} <= read["logged"]
    assert any(key.startswith("lr-") for key in read["logged"])
    assert read["config"]["policy"]["phases"] == [{"train": ["head"]}]
    assert read["policy"]["trainable"] == record["policy"]["trainable"]
    assert read["metrics"] == comparable(record["metrics"])
    assert all(read[key] == record[key] for key in ("choices", "overrides", "git", "packages", "hardware"))


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("class", {"confusion_matrix", "roc", "precision_recall"}),
        ("ordinal", {"confusion_matrix", "roc", "precision_recall"}),
        ("multilabel", {"f1", "average_precision"}),
        ("value", {"predicted/a", "predicted/b"}),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb's own dependencies
def test_every_kind_of_target_has_its_charts(kind, keys):
    p = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    labels = {"multilabel": (p > 0.5).astype(int), "value": p}.get(kind, p.argmax(1))
    found = Predictions(list("xyz"), p, labels, ("a", "b"), labels[::-1].copy(), kind)
    assert set(charts(found)) == keys


@pytest.mark.parametrize(("key", "found"), [("api_key", False), ("note", True)])
def test_no_secret_in_any_byte_that_a_sweep_leaves(tmp_path, typed, key, found):
    """Beside it the negative control: a word that is no secret's would be found."""
    words = ["data.samples=60", "trainer.max_epochs=1", "callback=quiet", f"+backbone.{key}=open sesame"]
    (tmp_path / "conf" / "backbone").mkdir(parents=True)
    (tmp_path / "conf" / "backbone" / "open.yaml").write_text("_target_: plug.Open\n")
    (tmp_path / "plug.py").write_text(
        "from tunesmith.backbone.tiny import Tiny\n\n\ndef Open(**anything):\n    return Tiny()\n"
    )
    done = typed(tmp_path, "train", "-m", "backbone=open", *words)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "logs").rglob("*.wandb"))
    hits = [p for p in (tmp_path / "logs").rglob("*") if p.is_file() and b"sesame" in p.read_bytes()]
    assert bool(hits) is found


def test_nothing_of_wandb_is_imported_without_it(tmp_path):
    """It takes a second that a run without it should not pay."""
    code = (
        "import sys; from tunesmith.config.compose import compose; from tunesmith.run.train import train;"
        f"train(compose('train', ['logger=none', 'callback=none', 'trainer.max_epochs=1', 'trainer=cpu', 'test=null',"
        f" 'data.samples=60', 'paths.logs={tmp_path}', 'trainer.enable_progress_bar=false']));"
        "sys.exit('wandb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from tunesmith.errors import ConfigError, PolicyError, TunesmithError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.record import metrics_log
from tunesmith.run.resume.checkpoint import load, read_manifest
from tunesmith.run.train import train


def state(folder, which="last"):
    return load(folder / "checkpoints" / f"{which}.ckpt")["state_dict"]


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[k], other[k]) for k in one)


def test_the_run_folder_is_complete(finished):
    names = {p.relative_to(finished.folder).as_posix() for p in finished.folder.rglob("*") if p.is_file()}
    assert names == {
        "run.json",
        "config.yaml",
        "overrides.yaml",
        "params.tsv",
        "data.parquet",
        "metrics.jsonl",
        "log.txt",
        "predictions.parquet",
        "per_class.tsv",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/manifest.json",
        "plots/training_curves.png",
        "plots/confusion_matrix.png",
        "plots/reliability.png",
    }


def test_the_record_says_everything(finished):
    record = json.loads((finished.folder / "run.json").read_text())
    assert record["schema"] == 1
    assert record["status"] == "completed" and record["error"] is None
    assert record["seed"] == 3 and record["tags"] == ["a"]
    assert record["id"] == finished.folder.name[-8:]
    assert {"torch", "lightning", "python"} <= record["packages"].keys()
    assert record["hardware"]["cores"] >= 1
    assert record["data"]["class_names"] == [str(i) for i in range(10)]
    assert sum(sum(s.values()) for s in record["data"]["splits"].values()) == 1797
    assert record["data"]["members"].keys() == record["data"]["splits"].keys()
    assert record["monitor"] == {"metric": "val/accuracy", "mode": "max"}
    assert record["weights"]["source"] is None
    assert record["policy"]["frozen"] > 0 and record["policy"]["trainable"] > 0
    assert {"test/accuracy", "test/loss", "val/loss", "best/val/accuracy", "train/loss"} <= record["metrics"].keys()
    assert {"import", "data", "fit", "test", "cpu", "samples_per_second"} <= record["timing"].keys()
    assert record["metrics"] == finished.metrics
    assert record["majority"]["test/balanced_accuracy"] == pytest.approx(0.1)
    assert len(record["config_hash"]) >= 16


def test_best_is_the_best_epoch(finished):
    values = [row["val/accuracy"] for row in metrics_log.read(finished.folder) if "val/accuracy" in row]
    assert finished.metrics["best/val/accuracy"] == max(values)


def test_last_is_the_last_epoch_also_when_the_best_was_another(quick):
    """With a rate of zero nothing changes: the first epoch stays the best."""
    result = train(quick("optimizer.lr=0", "policy=linear_probe", "trainer.max_epochs=3"))
    manifest = read_manifest(result.folder / "checkpoints")
    assert manifest["best.ckpt"]["epoch"] == 0
    assert manifest["last.ckpt"]["step"] == 3 * manifest["best.ckpt"]["step"]


def test_predictions_give_the_recorded_accuracy(finished):
    table = pd.read_parquet(finished.folder / "predictions.parquet")
    assert list(table.columns) == ["file", "target", "label", *(f"p_{i}" for i in range(10))]
    assert (table["target"] == table["label"]).mean() == pytest.approx(finished.metrics["test/accuracy"], abs=1e-6)
    assert table[[f"p_{i}" for i in range(10)]].sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-5)


def test_the_parameter_table_is_whole(finished):
    table = pd.read_csv(finished.folder / "params.tsv", sep="\t")
    names = {k for k in state(finished.folder) if "running" not in k and "num_batches" not in k}
    assert set(table["name"]) == names
    assert set(table.loc[table["trains_from_epoch"] == "never", "stage"]) == {"stage1", "stage2"}


def test_plots_are_images(finished):
    for path in (finished.folder / "plots").iterdir():
        with Image.open(path) as image:
            assert min(image.size) > 200


def test_the_saved_configuration_is_plain_and_resolved(finished):
    saved = yaml.safe_load((finished.folder / "config.yaml").read_text())
    assert saved["data"]["seed"] == 3
    assert "${" not in (finished.folder / "config.yaml").read_text()


def test_frozen_stages_end_as_they_began(quick, monkeypatch):
    start = {}

    def spy(*args):
        parts = assemble(*args)
        start.update({k: v.clone() for k, v in parts.task.backbone.state_dict().items()})
        return parts

    monkeypatch.setattr("tunesmith.run.train.assemble", spy)
    result = train(quick("policy=last_stages", "policy.stages=1", "callback=[quiet,ema]"))
    end = {k.removeprefix("backbone."): v for k, v in state(result.folder).items() if k.startswith("backbone.")}
    moved = {k for k in start if not torch.equal(start[k], end[k])}
    table = pd.read_csv(result.folder / "params.tsv", sep="\t")
    trainable = table.loc[table["trains_from_epoch"] != "never", "name"].str.removeprefix("backbone.")
    frozen = {k for k in start if not any(k.rpartition(".")[0] == t.rpartition(".")[0] for t in trainable)}
    assert moved and frozen
    assert not moved & frozen


@pytest.mark.parametrize("workers", [(0, 0), (0, 2)])
def test_the_same_seed_gives_the_same_bits(quick, workers):
    augmented = ["data=digits", "data.augment=light", "head=mlp", "callback=[quiet,ema]", "data.batch_size=128"]
    runs = [train(quick(*augmented, f"data.workers={n}", "data.in_memory=false")) for n in workers]
    assert same(state(runs[0].folder), state(runs[1].folder))
    timeless = [{k: v for k, v in run.metrics.items() if "per_second" not in k} for run in runs]
    assert timeless[0] == timeless[1]


def test_another_seed_gives_other_bits(quick):
    """Negative control for the test above."""
    runs = [train(quick(f"seed={seed}")) for seed in (0, 1)]
    assert not same(state(runs[0].folder), state(runs[1].folder))


def test_a_run_that_dies_says_so(quick, monkeypatch):
    monkeypatch.setattr("tunesmith.task.base.Task.validation_step", lambda *a: 1 / 0)
    cfg = quick()
    with pytest.raises(ZeroDivisionError):
        train(cfg)
    (folder,) = (p.parent for p in Path(cfg.paths.logs).rglob("run.json"))
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "failed"
    assert record["error"] == {"type": "ZeroDivisionError", "message": "division by zero"}
    assert "Traceback" in (folder / "log.txt").read_text()


def test_without_validation_the_last_weights_are_tested(quick):
    result = train(quick("data.split.val=0"))
    assert "test/accuracy" in result.metrics
    assert not any(k.startswith(("val/", "best/")) for k in result.metrics)


def test_without_checkpoints_the_weights_in_memory_are_tested(quick):
    result = train(quick("callback=ema", "test=last"))
    assert "test/accuracy" in result.metrics
    assert not list(result.folder.rglob("*.ckpt"))


def test_an_interrupted_fit_is_stopped_and_not_failed(quick, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("tunesmith.task.base.Task.validation_step", interrupt)
    cfg = quick()
    with pytest.raises(SystemExit):
        train(cfg)
    (path,) = Path(cfg.paths.logs).rglob("run.json")
    assert json.loads(path.read_text())["status"] == "stopped"


@pytest.mark.long  # most of a minute of C++
@pytest.mark.filterwarnings("ignore")  # torch's compiler has many of its own
def test_a_compiled_model_trains_in_mixed_precision(quick):
    words = ["task.compile=true", "trainer.precision=bf16-mixed", "callback=[quiet,ema]", "data.drop_last=true"]
    result = train(quick(*words, "trainer.max_epochs=1", "data.split.test=0", "data.split.val=0"))
    assert result.metrics["train/loss"] > 0


def test_without_a_test_split_nothing_is_tested(quick):
    result = train(quick("data.split.test=0"))
    assert not (result.folder / "predictions.parquet").exists()


@pytest.mark.parametrize(
    ("overrides", "error", "sentence"),
    [
        (["data.split.val=0", "callback=[quiet,early_stopping]"], ConfigError, "validation split for early stopping"),
        (["data.split.val=0", "scheduler=reduce_on_plateau"], ConfigError, "validation split for a schedule"),
        (["trainer.limit_val_batches=0", "callback=[quiet,early_stopping]"], ConfigError, "validation split"),
        (["task.monitor=val/loss"], ConfigError, "task.mode=min"),
        (["task.monitor=val/acuracy"], ConfigError, "val/accuracy"),
        (["callback=ema"], ConfigError, "test=last"),
        (["policy=first_frozen", "policy.stages=9"], PolicyError, "stage1"),
        (["rates=layer_decay", "rates.decay=1.0"], PolicyError, "no effect"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(quick, overrides, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        train(quick(*overrides))
    assert isinstance(caught.value, TunesmithError)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("scheduler", ["constant", "step", "cosine", "one_cycle", "reduce_on_plateau"])
def test_every_optimizer_works_with_every_schedule(quick, optimizer, scheduler):
    result = train(quick(f"optimizer={optimizer}", f"scheduler={scheduler}", "test=null", samples=60))
    assert result.metrics["train/loss"] > 0


def test_gradient_accumulation_and_clipping(quick):
    result = train(quick("trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.5", "data.batch_size=16"))
    assert result.metrics["train/loss"] > 0


def test_any_optimizer_by_its_target(quick):
    result = train(quick("optimizer._target_=torch.optim.RAdam", "test=null", samples=60))
    assert result.metrics["train/loss"] > 0


def test_early_stopping_stops(quick):
    """With a rate of zero nothing improves after the first epoch."""
    cfg = quick(
        "callback=[quiet,early_stopping]",
        "callback.early_stopping.patience=1",
        "optimizer.lr=0",
        "trainer.max_epochs=9",
    )
    result = train(cfg)
    assert sum("val/accuracy" in row for row in metrics_log.read(result.folder)) == 2


def test_the_other_loggers_write_into_the_run_folder(quick):
    result = train(quick("logger=[csv,tensorboard]", samples=60))
    assert "val/accuracy" in (result.folder / "csv" / "metrics.csv").read_text()
    assert list((result.folder / "tensorboard").glob("events.out.*"))


def test_the_logs_may_lie_beside_the_present_folder(quick_below, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = train(quick_below("../logs", "callback=[default,quiet]", "callback.progress=null", samples=60))
    assert result.folder.is_relative_to(tmp_path / "logs") and result.metrics["test/accuracy"] >= 0


def test_rates_are_logged_by_named_group(quick):
    result = train(quick("rates=layer_decay", samples=60))
    (row, *_) = (row for row in metrics_log.read(result.folder) if "lr-AdamW/head" in row)
    assert row["lr-AdamW/stage1"] == pytest.approx(row["lr-AdamW/head"] * 0.8**3)


def test_the_choices_are_what_the_command_line_chose(tmp_path, typed):
    words = ["data.samples=60", "policy=linear_probe", "logger=none", "callback=[quiet,ema]", "trainer.max_epochs=1"]
    done = typed(tmp_path, "train", *words)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("logs/synthetic/*/run.json")
    record = json.loads(path.read_text())
    assert record["choices"]["policy"] == "linear_probe" and record["choices"]["data"] == "synthetic"
    assert record["choices"]["callback"] == ["default", "quiet", "ema"]
    assert record["overrides"] == words
    assert record["command"] == " ".join(["tunesmith train", *words])


@pytest.mark.long  # at each commit: tests/task/optimization/test_distributed.py
def test_two_processes_equal_one_with_the_doubled_batch(quick, tmp_path, typed):
    """Only the head trains: the statistics of BatchNorm would be those of each process's own half."""
    common = [
        "data=digits",
        "policy=linear_probe",
        "optimizer=sgd",
        "logger=none",
        "callback=quiet",
        "trainer.max_epochs=1",
    ]
    words = [*common, "trainer=ddp", "trainer.accelerator=cpu", "data.batch_size=32"]
    # What pip installs as `tunesmith`, with which the first process starts the second.
    (tmp_path / "tunesmith").write_text("from tunesmith.__main__ import main\nmain()\n")
    done = typed(tmp_path, "train", *words)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "logs" / "digits").iterdir()
    alone = train(quick(*common, "data.batch_size=64"))
    one, two = state(alone.folder), state(folder)
    assert all(torch.allclose(one[k], two[k], atol=1e-5) for k in one)
    recorded = json.loads((folder / "run.json").read_text())["metrics"]
    for name in ("test/accuracy", "test/loss", "val/accuracy", "val/loss"):
        assert recorded[name] == pytest.approx(alone.metrics[name], abs=1e-4), name
    assert len(pd.read_parquet(folder / "predictions.parquet")) == len(
        pd.read_parquet(alone.folder / "predictions.parquet")
    )

"""Runs whose head is fitted: one command from data to predictions, and the same bits after a kill."""

from __future__ import annotations

import json

import pytest
import torch

from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError, TunesmithError
from tunesmith.run.evaluate import evaluate
from tunesmith.run.predict import predict
from tunesmith.run.record import metrics_log
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.resume.resume import find
from tunesmith.run.train import train
from tunesmith.task.base import Task

FITTED = ["policy=linear_probe", "data.augment=none"]


class KilledError(Exception):
    """What interrupts a run in a test."""


@pytest.fixture(scope="module", params=["ridge", "logistic"])
def run(request, quick_below, tmp_path_factory):
    """A finished run on the digits, with what would stand in the way of the fit if it counted."""
    logs = tmp_path_factory.mktemp("fitted")
    odd = ["trainer.max_epochs=3", "trainer.gradient_clip_val=1", "+trainer.val_check_interval=0.5"]
    more = ["callback=default", "callback.progress=null", *odd]
    head = {"ridge": ["head.features=stage_features"], "logistic": ["head.alpha=100"]}[request.param]
    return train(quick_below(logs, "data=digits", f"head={request.param}", *head, *FITTED, *more))


def test_one_epoch_is_enough(run):
    assert run.metrics["test/accuracy"] > 0.8  # random filters; no better than 0.1 without the fit
    assert run.metrics["train/accuracy"] > run.metrics["val/accuracy"] > 0.8
    assert run.metrics["head/alpha"] > 0
    rows = [row for row in metrics_log.read(run.folder) if "val/loss" in row]
    assert [row["epoch"] for row in rows] == [0]
    head = [line.split("\t") for line in (run.folder / "params.tsv").read_text().splitlines() if "\thead\t" in line]
    assert [cells[3:] for cells in head] == [["0", "0", "0"]] * 2  # trains in epoch 0, by no rate and no decay
    best, last = (load(run.folder / "checkpoints" / f"{name}.ckpt")["state_dict"] for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_evaluate_says_the_same(run):
    found = evaluate(compose("evaluate", [f"run={run.folder}", "split=test"]))
    assert found.metrics["test/accuracy"] == run.metrics["test/accuracy"]
    assert found.metrics["test/loss"] == pytest.approx(run.metrics["test/loss"])


def test_predict_works_from_the_folder(run, tmp_path):
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i in range(20):
        Image.fromarray((digits.images[i] * 15.9).astype("uint8")).save(tmp_path / f"{i:02}.png")
    table = predict(compose("predict", [f"run={run.folder}", f"input={tmp_path}", f"output={tmp_path / 'p.csv'}"]))
    labels = [int(label) for label in table.table()["label"].to_pylist()]
    assert sum(a == b for a, b in zip(labels, digits.target[:20], strict=True)) >= 15


KILLED = ["head=ridge", "policy=linear_probe", "data.augment=light", "callback.last.every_n_train_steps=1"]


@pytest.fixture(scope="module")
def whole(quick_below, tmp_path_factory):
    """A run that was never interrupted."""
    return train(quick_below(tmp_path_factory.mktemp("whole"), *KILLED))


@pytest.mark.parametrize("place", [(Task, "training_step", 3), (Task, "validation_step", 1), (Task, "test_step", 1)])
def test_a_killed_run_ends_with_the_same_bits(place, whole, quick, monkeypatch, tmp_path):
    owner, name, count = place
    original, calls = getattr(owner, name), 0

    def dies(*args):
        nonlocal calls
        calls += 1
        if calls == count:
            raise KilledError
        return original(*args)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, dies)
        with pytest.raises(KilledError):
            train(quick(*KILLED))
    (folder,) = (path.parent for path in tmp_path.rglob("run.json"))
    found = find(compose("train", [f"resume={folder}"]))
    # Half an epoch's features are in no checkpoint, so there is none before the fit.
    assert (found.checkpoint is None) == (name != "test_step")
    again = train(compose("train", [f"resume={folder}"]))
    assert json.loads((folder / "run.json").read_text())["status"] == "completed"
    one, other = (load(f / "checkpoints" / "last.ckpt")["state_dict"] for f in (folder, whole.folder))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    timed = ("per_second", "seconds")
    kept = [{k: v for k, v in r.metrics.items() if not k.endswith(timed)} for r in (again, whole)]
    assert kept[0] == kept[1]


def test_without_a_validation_split_too(quick):
    metrics = train(quick("head=ridge", *FITTED, "data.split.val=0")).metrics
    assert metrics["test/accuracy"] > 0.5


@pytest.mark.parametrize(
    ("overrides", "kind", "named"),
    [
        (["policy=full"], ConfigError, r"head alone.*trains \d+ tensors of the backbone; use policy=linear_probe"),
        (["policy=last_stages"], ConfigError, "head alone"),
        (["policy.phases=[{train: ['re: stage1']}]"], ConfigError, "head alone"),
        (["callback=[quiet,ema]"], ConfigError, "no averaging of weights.*ema"),
        (["trainer.devices=2", "+trainer.strategy=ddp_spawn"], ConfigError, "one process.*but got 2"),
        (
            ["loss.label_smoothing=0.1"],
            ConfigError,
            "but got loss.label_smoothing; use loss.label_smoothing=0, or head=li",
        ),
        (["loss.logit_adjustment=1"], ConfigError, "but got loss.logit_adjustment; use loss.logit_adjustment=0"),
        (["loss=focal"], ConfigError, "but got loss.gamma; use loss.gamma=0"),
        (["head.alpha=-1"], ConfigError, "head.alpha to be positive"),
        (["head.features=pooled_levels"], TunesmithError, "pooled"),
    ],
)
def test_what_does_not_go_together(overrides, kind, named, quick):
    base = ["policy=linear_probe"] if not any(o.startswith("policy=") for o in overrides) else []
    with pytest.raises(kind, match=named):
        train(quick("head=ridge", *base, *overrides))


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_weights_of_classes_count(head, quick):
    words = [f"head={head}", "head.alpha=10", *FITTED, "test=null", "data.seed=0"]
    weighted = [[], ["loss.class_weight=[1,1,1]"], ["loss.class_weight=[1,1,50]"], ["loss=focal", "loss.gamma=0"]]
    folders = [train(quick(*words, *options, samples=60)).folder for options in weighted]
    plain, ones, rare, focal = (
        load(folder / "checkpoints" / "last.ckpt")["state_dict"]["head.output.bias"] for folder in folders
    )
    assert torch.allclose(plain, ones, atol=1e-6) and torch.allclose(plain, focal, atol=1e-6)
    assert rare.argmax() == 2 and rare[2] - rare[:2].max() > plain[2] - plain[:2].max() + 0.1

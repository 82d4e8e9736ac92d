"""Weights made after training, chosen on validation."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from tunesmith.backbone.tiny import Tiny
from tunesmith.config.compose import compose
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation import weights
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train

HEAD = ("head.output.weight", "head.output.bias")


def trained(quick, *more):
    options = ["data.batch_size=8", "optimizer.lr=3e-2", "trainer.max_epochs=3", "data.augment=none"]
    result = train(quick(*options, *more, samples=90))
    return result.folder, json.loads((result.folder / "run.json").read_text())


def state_of(folder, name):
    return load(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]


def evaluated(folder, record):
    """What `evaluate` takes unasked, which gives what the run gave."""
    outcome = evaluate(compose("evaluate", [f"run={folder}", "accelerator=cpu"]))
    expected = {k: v for k, v in record["metrics"].items() if k.startswith("test/")}
    assert outcome.metrics == pytest.approx(expected, abs=1e-6)
    return outcome.weights


def test_between_the_first_and_the_best_weights_validation_chooses(quick, tmp_path):
    source = tmp_path / "weights.pth"
    torch.save(Tiny().net.state_dict(), source)
    folder, record = trained(
        quick, "policy=last_stages", "policy.stages=1", f"backbone.weights={source}", "test=wise_ft"
    )
    made, metrics = record["selection"], record["metrics"]
    assert made["metric"] == "val/accuracy" and list(made["values"]) == ["0.0", "0.25", "0.5", "0.75", "1.0"]
    assert made["values"]["1.0"] == pytest.approx(metrics["best/val/accuracy"], abs=1e-6)
    assert made["values"][str(made["alpha"])] == max(made["values"].values())
    best, mixed, first = state_of(folder, "best"), state_of(folder, "wise_ft"), torch.load(source)
    name = "stage3.0.weight"
    expected = torch.lerp(first[name], best[f"backbone.net.{name}"], made["alpha"])
    assert torch.equal(mixed[f"backbone.net.{name}"], expected)
    assert all(torch.equal(mixed[name], best[name]) for name in HEAD)
    assert not any(n.startswith("backbone.net.stage1") for n in mixed)  # left out, as in every checkpoint
    assert evaluated(folder, record) == "wise_ft"


def test_a_soup_of_the_best_epochs(quick, monkeypatch):
    monkeypatch.setattr("tunesmith.run.train.shutil.rmtree", lambda *a, **k: None)  # to look at the ingredients
    folder, record = trained(quick, "callback=[quiet,soup]", "callback.soup.save_top_k=2", "test=uniform_soup")
    about = record["selection"]["ingredients"]
    assert len(about) == 2 and about[0]["value"] == pytest.approx(record["metrics"]["best/val/accuracy"])
    states = [state_of(folder, f"soup/epoch-{of['epoch']}") for of in about]
    soup = state_of(folder, "uniform_soup")
    name = "backbone.net.stage2.0.weight"
    assert not torch.equal(states[0][name], states[1][name])
    assert torch.allclose(soup[name], (states[0][name] + states[1][name]) / 2)
    assert evaluated(folder, record) == "uniform_soup"


def test_averaged_and_raw_weights_are_both_evaluated(quick):
    folder, record = trained(quick, "callback=[quiet,ema]", "test=raw")
    metrics = record["metrics"]
    assert metrics["averaged/val/loss"] == pytest.approx(metrics["best/val/loss"], abs=1e-6)
    assert metrics["raw/val/loss"] != metrics["averaged/val/loss"]
    assert metrics["test/loss"] == metrics["raw/test/loss"] != metrics["averaged/test/loss"]
    assert record["selection"] == {"weights": "raw"}
    best = load(folder / "checkpoints" / "best.ckpt")
    assert all(torch.equal(state_of(folder, "raw")[name], best["current_model_state"][name]) for name in HEAD)
    assert evaluated(folder, record) == "raw"
    assert rebuild(str(folder), "best").weights == "best"


def fake(monkeypatch, mode, scores):
    """A run whose weights are one number, and whose validation gives scores by that number."""
    monkeypatch.setattr(weights, "_score", lambda parts, state: scores[round(float(state["x"]), 4)])
    states = [{"x": torch.tensor(x)} for x in (0.0, 3.0, 6.0)]
    about = [{"epoch": i, "value": scores[float(s["x"])]} for i, s in enumerate(states)]
    monkeypatch.setattr(weights, "_ingredients", lambda parts: (states, about))
    monkeypatch.setattr(weights, "_whole", lambda parts, path: {"state_dict": {"x": torch.tensor(4.0)}})
    return SimpleNamespace(task=SimpleNamespace(mode=mode, monitor="val/x"), start={"x": torch.tensor(0.0)})


@pytest.mark.parametrize("sign", [1, -1])
def test_a_greedy_soup_leaves_out_what_makes_it_worse(monkeypatch, sign, tmp_path):
    scores = {0.0: 0.9, 3.0: 0.8, 6.0: 0.8, 1.5: 0.7, 2.0: 0.5}  # 0 and 3 together are worse than 0
    parts = fake(
        monkeypatch, "max" if sign > 0 else "min", {k: sign * v for k, v in scores.items()} | {3.0: sign * 0.95}
    )
    state, about = weights.greedy_soup(parts, tmp_path)
    assert [of["used"] for of in about["ingredients"]] == [True, False, True]
    assert float(state["x"]) == 3.0 and about["value"] == sign * 0.95


def test_a_uniform_soup_takes_them_all(monkeypatch, tmp_path):
    state, about = weights.uniform_soup(fake(monkeypatch, "max", {0.0: 1.0, 3.0: 0.5, 6.0: 0.2}), tmp_path)
    assert float(state["x"]) == 3.0 and all(of["used"] for of in about["ingredients"])


@pytest.mark.parametrize(("mode", "alpha"), [("max", 0.75), ("min", 0.0)])
def test_of_equally_good_ways_the_longest_is_taken(monkeypatch, tmp_path, mode, alpha):
    scores = {0.0: 0.1, 1.0: 0.5, 2.0: 0.5, 3.0: 0.5, 4.0: 0.4, 6.0: 0.0}
    state, about = weights.wise_ft(fake(monkeypatch, mode, scores), tmp_path)
    assert about["alpha"] == alpha and float(state["x"]) == 4 * alpha


def test_both_ends_of_the_way_keep_their_bits():
    start, end = ({"x": torch.randn(50), "n": torch.tensor(n)} for n in (1, 2))
    del start["n"]
    assert torch.equal(weights.interpolated(start, end, 0.0)["x"], start["x"])
    assert torch.equal(weights.interpolated(start, end, 1.0)["x"], end["x"])
    assert weights.interpolated(start, end, 0.5)["n"] == 2


def test_a_mean_keeps_the_bits_of_what_is_the_same_everywhere():
    same = torch.randn(50)
    found = weights.mean([{"x": same.clone(), "n": torch.tensor(i), "y": torch.full((2,), float(i))} for i in range(3)])
    assert torch.equal(found["x"], same) and found["n"] == 0 and found["y"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_averages_have_the_type_of_the_weights(precision, quick):
    words = [
        f"trainer.precision={precision}",
        "callback=[quiet,ema]",
        "test=wise_ft",
        "cache=off",
        "trainer.max_epochs=1",
    ]
    folder = train(quick("policy=last_stages", "policy.stages=1", *words, samples=60)).folder
    assert {t.dtype for t in state_of(folder, "wise_ft").values() if t.is_floating_point()} == {
        {"64-true": torch.float64, "bf16-true": torch.bfloat16}[precision]
    }

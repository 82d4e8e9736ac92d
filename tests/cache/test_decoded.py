"""Decoded images are kept for all runs, and change no bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.data.image.decode import Decode
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train


@pytest.fixture
def photos(tmp_path):
    """Sixty images of two classes, each of a size of its own."""
    drawn = np.random.default_rng(0)
    for i in range(60):
        file = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        size = (int(drawn.integers(30, 60)), int(drawn.integers(30, 60)), 3)
        Image.fromarray(drawn.integers(0, 200 + 50 * (i % 2), size, dtype=np.uint8)).save(file)
    return tmp_path / "photos"


@pytest.fixture
def trained(quick, tmp_path, photos, monkeypatch):
    monkeypatch.setattr("tunesmith.cache.callback.AT_ONCE", 0)
    monkeypatch.setattr("tunesmith.run.evaluation.plot.draw_all", lambda *_: [])

    def make(*overrides, cache="auto"):
        words = ["data=image_folder", f"data.root={photos}", "backbone=tiny", "test=last", "backbone.image_size=24"]
        result = train(quick(*words, f"cache={cache}", f"paths.cache={tmp_path / 'cache'}", *overrides))
        state = load(result.folder / "checkpoints" / "last.ckpt")["state_dict"]
        metrics = {k: v for k, v in result.metrics.items() if "per_second" not in k}
        return state, metrics, json.loads((result.folder / "run.json").read_text())["cache"]

    return make


@pytest.fixture
def decoded(monkeypatch):
    """Counts the files that are decoded."""
    counted = []
    call = Decode.__call__
    monkeypatch.setattr(Decode, "__call__", lambda self, image: counted.append(image) or call(self, image))
    return counted


def same(one, other):
    return all(torch.equal(one[0][k], other[0][k]) for k in one[0]) and one[1] == other[1]


@pytest.mark.parametrize("preset", ["light", "symmetries_in_turn"])
def test_a_run_with_decoded_images_gives_the_bits_of_a_run_without(trained, decoded, preset):
    words = ["policy=full", f"data.augment={preset}"]
    without = trained(*words, "data.in_memory=false", cache="off")
    cold = trained(*words)
    del decoded[:]
    warm = trained(*words, "data.split.seed=0")
    assert same(without, cold) and same(without, warm)
    assert cold[2]["computed"] == warm[2]["hits"] == 60
    # A look at a few of each kind; for a crop, train has larger ones, and two epochs are too few to keep the others.
    assert len(decoded) <= 8 + (21 if preset == "light" else 0)
    assert {"look", "fill"} == set(warm[2]["seconds"])
    assert not same(without, trained("policy=full", "data.augment=rotations"))  # negative control


def test_other_splits_and_seeds_read_the_same_images(trained, decoded):
    trained("policy=full")
    _, _, record = trained("policy=last_stages", "policy.stages=1", "data.split.seed=3", "seed=4")
    assert "60 decoded images of 27 px" in " ".join(record["said"]).lower()
    assert record["hits"] >= 60


def test_a_byte_of_a_image_or_another_size_is_a_miss(trained, photos):
    trained("policy=full", "data.augment=none")
    assert trained("policy=full", "data.augment=none")[2]["computed"] == 0
    assert trained("policy=full", "data.augment=none", "backbone.image_size=16")[2]["computed"] == 60
    Image.open(photos / "a" / "0.png").rotate(90).save(photos / "a" / "0.png")
    assert trained("policy=full", "data.augment=none")[2]["computed"] == 60


def test_what_is_quickly_decoded_is_not_worth_a_file(trained, monkeypatch):
    monkeypatch.setattr("tunesmith.cache.callback.AT_ONCE", 60)
    assert trained("policy=full")[2] == {"hits": 0, "computed": 0, "said": []}


def test_views_in_turn_are_all_kept_unasked(trained, everything_pays):
    words = ["policy=linear_probe", "data.augment=flips_in_turn", "trainer.max_epochs=3"]
    without, kept = trained(*words, cache="off"), trained(*words)
    assert same(without, kept)
    assert any("view 1" in sentence and "ached" in sentence for sentence in kept[2]["said"])

"""Every experiment takes a step, with a small backbone and generated data of its dataset's real file format."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith.config.check.check import check
from tunesmith.config.compose import compose
from tunesmith.run.train import train

CONF = Path(__file__).parents[1] / "conf" / "experiment"
TEXT = ["backbone.name={SMALL_TEXTS}/bert", "backbone.weights=null"]
TINY = ["backbone=tiny", "backbone.weights=null"]
RESNET = ["backbone.name=resnet18", "backbone.weights=null", "backbone.image_size=32"]
# Each experiment's data, and what makes its model small: a published set by name, or what lays out the data's files.
SMALL = {
    "cifar10_resnet50": ("CIFAR10", RESNET),
    "digits": (None, []),
    "fashion_mnist_probe": ("FashionMNIST", [*TINY, "data.split.val=0.3"]),
    "flowers_efficientnet": ("Flowers102", ["backbone.weights=null", "backbone.image_size=32", "data.batch_size=8"]),
    "gpt2_lm": (None, ["data.samples=40"]),
    "minilm_mlm_then_classify": ("reviews", TEXT),
    "mnist_cnn": ("MNIST", ["data.split.val=0.3"]),
    "ner_tiny": (None, TEXT),
    "pets_convnext": ("OxfordIIITPet", ["backbone.name=test_convnext", "backbone.weights=null"]),
    "qa_tiny": (None, [*TEXT, "data.max_length=56", "data.stride=8"]),
    "resnet50_feature_extraction": ("folder", RESNET),
    "reviews_minilm_joint": ("reviews", TEXT),
    "reviews_minilm_rdrop": ("reviews", TEXT),
    "reviews_minilm_lora": ("reviews", TEXT),
    "reviews_minilm_lpft": ("reviews", TEXT),
    "reviews_minilm_probe": ("reviews", TEXT),
    "summarise_tiny_t5": (None, ["data.samples=40"]),
    "translate_tiny_marian": (None, ["data.samples=40"]),
    "solar_cells": ("cells", [*TINY, "policy.stages=1", "data.split.val=0.2"]),
    "solar_cells_paper": ("cells", [*TINY, "data.split.test=0.2"]),
    "solar_cells_regression": ("cells", [*TINY, "data.split.val=0.2"]),
}


def lay_cells(root):
    """Solar cells as their package lays them out, 24 of them."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    lines = []
    for i in range(1, 25):
        Image.fromarray(rng.integers(0, 255, (30, 30), dtype=np.uint8)).save(root / f"images/cell{i:04d}.png")
        lines.append(
            f"images/cell{i:04d}.png  {[0.0, 1.0, 0.0, 0.6666666666666666][i % 4]}  {['mono', 'poly'][i > 12]}"
        )
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


def lay_folder(root):
    """A folder of images, one folder a class."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(root / name / f"{i}.jpg")


def lay_reviews(file):
    """Reviews of 12 films, and plots, in the columns of the published table."""
    rows = [
        f"{('fresh', 'rotten', 'plot')[i % 3]},the film is {('good', 'dull')[i % 2]},film{i // 8}" for i in range(96)
    ]
    file.write_text("\n".join(["category,text,movie_name", *rows]) + "\n")


@pytest.fixture
def lay(published):
    own = {"cells": lay_cells, "folder": lay_folder, "reviews": lay_reviews}
    return lambda name, root: own.get(name, lambda r: published(name, r))(root)


def test_each_has_its_small_form():
    assert {p.stem for p in CONF.glob("*.yaml")} == set(SMALL)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda p: p.stem)
def test_it_has_a_header_and_at_most_15_lines(path):
    header, _, body = path.read_text().partition("defaults:")
    assert [word for word in ("# Question:", "# Command:", "# Time:", "# Expect:") if word not in header] == []
    assert f"tunesmith train experiment={path.stem}" in header and "TODO" not in header
    assert len([line for line in ("defaults:" + body).splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("name", SMALL)
def test_it_takes_a_step(name, lay, tmp_path):
    needed, small = SMALL[name]
    key, small = "file" if needed == "reviews" else "root", [word.format(**os.environ) for word in small]
    data = [f"data.{key}={tmp_path / 'data'}"] if needed else []
    if needed:
        lay(needed, tmp_path / "data")
    overrides = [f"experiment={name}", "debug=fast_dev_run", "trainer.accelerator=cpu", *small, *data]
    cfg = compose("train", [*overrides, f"paths.logs={tmp_path / 'logs'}"])
    check(cfg)
    metrics = train(cfg).metrics
    assert {"test/accuracy", "test/mae", "test/f1", "test/token_accuracy"} & metrics.keys()

"""Every experiment takes a step, with a small backbone and generated data of its dataset's real file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith.config.check import check
from tunesmith.config.compose import compose
from tunesmith.run.train import train

CONF = Path(__file__).parents[1] / "conf" / "experiment"
SMALL = {"solar_cells": ["backbone=tiny", "backbone.weights=null", "policy.stages=1"], "digits": []}


@pytest.fixture
def cells(tmp_path):
    """Solar cells as their package lays them out, 24 of them."""
    rng = np.random.default_rng(0)
    (tmp_path / "cells" / "images").mkdir(parents=True)
    lines = []
    for i in range(1, 25):
        Image.fromarray(rng.integers(0, 255, (30, 30), dtype=np.uint8)).save(tmp_path / f"cells/images/cell{i:04d}.png")
        lines.append(
            f"images/cell{i:04d}.png  {[0.0, 1.0, 0.0, 0.6666666666666666][i % 4]}  {['mono', 'poly'][i > 12]}"
        )
    (tmp_path / "cells" / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "cells"


def test_each_has_its_small_form():
    assert {p.stem for p in CONF.glob("*.yaml")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_it_takes_a_step(name, cells, tmp_path):
    data = [f"data.root={cells}", "data.split.val=0.2"] if name == "solar_cells" else []
    overrides = [f"experiment={name}", "debug=fast_dev_run", "trainer.accelerator=cpu", *SMALL[name], *data]
    cfg = compose("train", [*overrides, f"paths.logs={tmp_path / 'logs'}"])
    check(cfg)
    assert "test/accuracy" in train(cfg).metrics

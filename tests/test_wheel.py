"""An installed user adds a backbone, a dataset and an experiment without touching the package."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    # Without isolation: the build backend is installed here, and the tests need no network.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A clean environment with the wheel in it, and the dependencies of this one behind it."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder)
    (clean,) = (folder / "lib").glob("python*/site-packages")
    # Not the editable tunesmith: a .pth file in a folder that is itself named by one is not read.
    (clean / "dependencies.pth").write_text("\n".join(p for p in site.getsitepackages() if Path(p).is_dir()))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            folder / "bin" / "python",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            wheel,
        ],
        check=True,
    )
    return folder / "bin"


def test_the_wheel_carries_the_configurations(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {f"tunesmith/conf/{p.relative_to(ROOT / 'conf').as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")}
    assert shipped <= set(names)
    assert not [n for n in names if n.startswith(("tests/", "conf/"))]


@pytest.fixture
def outside(tmp_path):
    """A user's folder: a backbone and a dataset of his own in ./conf and plug.py, an experiment in another folder."""
    files = {
        "plug.py": '''
            """A user's own backbone and dataset."""

            import numpy as np
            from torch import nn

            from tunesmith.backbone.base import Backbone
            from tunesmith.contract.features import Stage
            from tunesmith.modality.image import ImagePreprocess
            from tunesmith.contract.protocols import Weights
            from tunesmith.data.image.module import ImageData
            from tunesmith.data.table import Table


            class Mine(Backbone):
                def __init__(self, width: int = 4) -> None:
                    net = nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.Conv2d(width, width, 3, stride=2))
                    stages = [Stage("first", ("0",)), Stage("second", ("1",))]
                    preprocess = ImagePreprocess(16, mean=(0.5,) * 3, std=(0.5,) * 3)
                    super().__init__(net, stages, width, preprocess, Weights())

                def pool(self, x):
                    return x.mean((2, 3))


            class Squares(ImageData):
                def __init__(self, count: int = 60, **common) -> None:
                    super().__init__(**common)
                    self.count = count

                def load(self) -> Table:
                    targets = np.arange(self.count) % 2
                    images = np.full((self.count, 16, 16), 40, dtype=np.uint8)
                    images[targets == 1, 4:12, 4:12] = 200
                    images += np.arange(self.count, dtype=np.uint8)[:, None, None]
                    names = np.array([f"square_{i}" for i in range(self.count)])
                    return Table(images, targets.astype(np.int64), ("empty", "full"), names, channels=1)
        ''',
        "conf/backbone/mine.yaml": """
            # My backbone.
            _target_: plug.Mine
            width: 6
        """,
        "conf/data/squares.yaml": """
            # My images.
            _target_: plug.Squares
            seed: ${seed}
            split: {_target_: tunesmith.data.split.split.Split, by: stratified, val: 0.2, test: 0.2}
        """,
        "more/experiment/mine.yaml": """
            # @package _global_
            defaults:
              - override /backbone: mine
              - override /data: squares
              - override /logger: none
            name: mine
            trainer: {max_epochs: 1, accelerator: cpu}
        """,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return tmp_path


def call(installed, folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    return subprocess.run(
        [installed / "tunesmith", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_help_lists_the_users_options_beside_ours(installed, outside):
    shown = call(installed, outside, "train", "--help", "--config-dir", "more")
    assert shown.returncode == 0, shown.stderr
    for option in ("mine", "squares", "solar_cells", "linear_probe"):
        assert option in shown.stdout


def test_a_run_with_an_outside_backbone_dataset_and_experiment(installed, outside):
    ran = call(installed, outside, "train", "--config-dir", "more", "experiment=mine", "policy=linear_probe")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    (path,) = (outside / "logs" / "mine").glob("*/run.json")
    record = json.loads(path.read_text())
    assert record["status"] == "completed"
    assert record["choices"]["backbone"] == "mine" and record["policy"]["stages"] == ["first", "second"]
    refused = call(installed, outside, "evaluate", f"run={path.parent}")
    assert refused.returncode == 2
    assert "add '--allow plug' or" in refused.stderr
    asked = call(installed, outside, "evaluate", "--allow", "plug", f"run={path.parent}")
    assert asked.returncode == 0, asked.stderr


def test_a_misspelled_argument_of_an_outside_backbone_is_found(installed, outside):
    ran = call(installed, outside, "train", "backbone=mine", "backbone.widht=3")
    assert ran.returncode == 2
    assert "backbone.widht" in ran.stderr and "backbone.width" in ran.stderr and "Traceback" not in ran.stderr

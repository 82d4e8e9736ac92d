"""What the README says is typed: its files are written and its commands run in its order, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line.strip()]
# Real data and a real backbone: one step shows that the command works, and the demo itself shows what it gives.
LONG = {"backbone=timm": ["trainer.limit_train_batches=1", "trainer.max_epochs=1"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder with the README's files, and pictures where it speaks of the user's own."""
    place = tmp_path_factory.mktemp("user")
    for kind, text in BLOCKS:
        if kind in ("python", "yaml"):
            first, _, rest = text.partition("\n")
            path = place / first.removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rest, encoding="utf-8")
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (place / "photos" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
                place / "photos" / name / f"{i}.png"
            )
    (place / "pairs").mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(
            place / "pairs" / f"{i}_{'ab'[i % 2]}.png"
        )
    return place


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [w.replace("<run>", newest(folder, w)) if "<run>" in w else w for w in shlex.split(command)]
    more = [option for key, options in LONG.items() if key in words for option in options]
    return subprocess.run(
        [sys.executable, "-m", "tunesmith", *words[1:], *more], cwd=folder, capture_output=True, text=True, check=False
    )


def newest(folder: Path, word: str) -> str:
    place = folder / word.partition("=")[2].partition("<run>")[0]
    return max(p.name for p in place.iterdir())


def test_every_command_works_in_the_readmes_order(folder):
    commands = [c for c in COMMANDS if c.startswith("tunesmith ")]
    assert len(commands) >= 7
    for command in commands:
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (folder / "labels.csv").read_text().count("\n") == 21


def test_the_dataset_that_the_readme_adds_works(folder):
    done = run("tunesmith train data=pairs data.root=pairs logger=none trainer.max_epochs=1", folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_target_is_there(command):
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_all_commands_are_known_to_these_tests():
    assert not [c for c in COMMANDS if not c.startswith(("tunesmith ", "make "))]


def test_the_file_tree_names_every_folder():
    tree = README.partition("## Where things are")[2]
    rooms = [p.parent.name for p in (ROOT / "src" / "tunesmith").glob("*/__init__.py")]
    for name in [*rooms, "conf", "tests", "errors.py", "contracts.py", "__main__.py"]:
        assert name in tree, name


@pytest.mark.parametrize("group", sorted(p.name for p in (ROOT / "conf").iterdir() if p.is_dir() and p.name != "paths"))
def test_the_table_of_groups_names_every_option(group):
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{group}` |")]
    for path in (ROOT / "conf" / group).glob("*.yaml"):
        assert f"`{path.stem}`" in row, path.stem

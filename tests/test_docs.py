"""What README and documentation say is typed: their files are written, their commands run, in a folder of images."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tunesmith import __main__ as command_line
from tunesmith.config import find, positional
from tunesmith.config.check.check import check
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError
from tunesmith.sweep import sweep

ROOT = Path(__file__).parents[1]
CONF = find.package_conf()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A few steps show that a command works; what it gives is shown elsewhere.
SHORT = ["trainer.max_epochs=2"]
SHORTEST = ["trainer.max_epochs=1", "trainer.limit_train_batches=1"]  # with a backbone of real size
NAMED = r"# ([\w./-]+\.(?:py|yaml))\n"


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        kind: Its language.
        mark: What follows the language, such as ``needs=gpu``.
        text: What is in it.
    """

    kind: str
    mark: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", page, flags=re.MULTILINE)]


def commands(block: Block) -> list[str]:
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what a user has: images in class folders, new ones, and tables of them."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(48):
        label = ("cats", "dogs")[number % 2]
        path = Path("photos") / label / f"{number}.png"
        image = rng.integers(0, 200, (40, 50, 3), dtype=np.uint8)
        image[..., number % 2] += 50
        for file in (path, Path("pairs") / f"{number}_{'ab'[number % 2]}.png", Path("new") / f"{number}.png"):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            if file.parts[0] != "new" or number < 4:
                Image.fromarray(image).save(tmp_path / file)
        split = "test" if number % 8 < 2 else "val" if number % 8 < 4 else "train"
        rows.append(
            (
                path,
                label,
                number // 2,
                split,
                1 + number % 2,
                float(image.mean()),
                ("indoors;furry", "furry", "")[number % 3],
            )
        )
    names = ["path", "label", "group", "split", "weight", "value", "labels"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "images.csv", index=False)
    texts = [(f"a {('fine', 'dull')[i % 2]} film, {i}", ("fresh", "rotten")[i % 2], f"film{i // 4}") for i in range(48)]
    pd.DataFrame(texts, columns=["text", "label", "group"]).to_csv(tmp_path / "texts.csv", index=False)
    sentence = "Anna B-PER\nlives O\nin O\nNew B-LOC\nYork I-LOC\n"
    (tmp_path / "names.conll").write_text("\n".join([sentence, "Paris B-LOC\nsleeps O\n"] * 12))
    answers = {"text": ["Paris"], "answer_start": [14]}
    asked = {"question": "Where does Anna live?", "context": "Anna lives in Paris.", "answers": answers}
    (tmp_path / "questions.jsonl").write_text("\n".join([json.dumps(asked)] * 24))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def perform(page: str, folder: Path, typed: Callable[..., Any]) -> list[str]:
    """Write a page's files, then run its commands and its other Python in its order; gives the commands."""
    found = blocks(page)
    for block in found:
        name = re.match(NAMED, block.text)
        if name:
            path = folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text[name.end() :], encoding="utf-8")
    for block in found:
        if block.kind == "bash":
            for command in commands(block):
                if block.mark:
                    compose_only(command, folder)
                else:
                    run(command, folder, typed)
        elif block.kind == "python" and not re.match(NAMED, block.text):
            exec(block.text, {})
    return [command for block in found if block.kind == "bash" for command in commands(block)]


def run(command: str, folder: Path, typed: Callable[..., Any]) -> None:
    program, *words = (w.replace("<run>", newest(folder, w)) if "<run>" in w else w for w in shlex.split(command))
    if program == "make":
        subprocess.run([program, *words, "--dry-run"], cwd=ROOT, check=True, capture_output=True)
        return
    assert program == "tunesmith", f"unknown to this test: {command}"
    own_length = words[0] != "train" or any(w.startswith(("trainer.max_epochs=", "resume=")) for w in words)
    more = SHORTEST if "backbone=timm" in words else SHORT
    done = typed(folder, *words, *([] if own_length else more))
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def newest(folder: Path, word: str) -> str:
    place = folder / word.partition("=")[2].partition("<run>")[0]
    records = [path for path in place.rglob("run.json") if path.parent != place]  # a sweep's lie a folder deeper
    return max(records, key=lambda path: path.stat().st_mtime).parent.relative_to(place).as_posix()


def compose_only(command: str, folder: Path) -> None:
    program, name, *overrides = shlex.split(command)
    assert program == "tunesmith", f"unknown to this test: {command}"
    if "-m" not in overrides:
        check(compose(name, positional.with_keys(name, overrides)), name)
        return
    with pytest.MonkeyPatch.context() as patched:  # every job is composed and checked, and none is run
        patched.chdir(folder)
        patched.setattr(sweep, "_run", lambda *_: 0)
        assert command_line.command_line([name, *overrides]) == 0


def tiered(page):
    """Pages of how-to's are in the long tier, but for two."""
    name = page.relative_to(ROOT).as_posix()
    long = page.parent.name == "howto" and page.stem not in ("resume", "what-trains")
    return pytest.param(page, id=name, marks=pytest.mark.long if long else ())


@pytest.mark.parametrize("page", [tiered(page) for page in PAGES])
def test_every_command_works_in_the_order_of_its_page(page, folder, typed):
    done = perform(page.read_text(encoding="utf-8"), folder, typed)
    predicted = [c for c in done if "input=photos output=labels.csv" in c or "input=new output=labels.csv" in c]
    if predicted:
        images = list((folder / predicted[0].partition("input=")[2].split()[0]).rglob("*.png"))
        assert (folder / "labels.csv").read_text().count("\n") == len(images) + 1


def test_the_pages_hold_the_commands_that_this_test_is_for():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    found = [c for text in texts for block in blocks(text) if block.kind == "bash" for c in commands(block)]
    assert len(found) >= 40
    for command in find.commands():
        assert any(c.startswith(f"tunesmith {command} ") for c in found), command


@pytest.mark.parametrize("command", ["tunesmith train head=linaer", "tunesmith predict run=logs/none input=new", "ls"])
def test_a_wrong_command_fails(command, folder, typed):
    with pytest.raises(AssertionError):
        perform(f"```bash\n{command}\n```\n", folder, typed)


def test_a_wrong_command_that_is_only_composed_fails(folder, typed):
    with pytest.raises(ConfigError):
        perform("```bash needs=gpu\ntunesmith train trainer=gpu trainer.max_epoch=3\n```\n", folder, typed)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning, such as a link that leads nowhere, is an error."""
    place = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return place


def test_the_site_has_a_page_a_command_and_asks_for_nothing_from_elsewhere(site):
    for command in find.commands():
        assert f"Usage: tunesmith {command}" in (site / "commands" / f"{command}.html").read_text()
    for page in site.rglob("*.html"):
        assert not re.search(r"<(?:link|script|img|iframe)[^>]+(?:href|src)=\"?https?:", page.read_text()), page


@pytest.mark.parametrize(
    "option", [p.relative_to(CONF).with_suffix("") for p in sorted(CONF.glob("*/**/*.yaml"))], ids=str
)
def test_every_option_has_its_place(option, site):
    page = (site / "groups" / f"{option.parts[0]}.html").read_text()
    assert f'id="{option.name}"' in page
    for key in re.findall(r"^(\w+):", (CONF / f"{option}.yaml").read_text(), flags=re.MULTILINE):
        assert key in page


def test_tables_hold_keys_defaults_values_and_meanings(site):
    page = html.unescape((site / "groups" / "optimizer.html").read_text())
    assert "<td><code>optimizer.lr</code></td><td><code>1e-3</code></td><td><code>float</code>" in page
    page = html.unescape((site / "groups" / "head.html").read_text())
    assert "<td><code>head.dropout</code></td><td><code>0.0</code></td>" in page
    assert "feature_dim=" not in page  # worked out, never given


def test_what_a_block_needs_is_said_in_words(site):
    assert "needs=" not in (site / "commands" / "train.html").read_text()
    assert "needs a GPU" in (site / "commands" / "train.html").read_text()

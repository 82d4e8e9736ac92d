"""YAML files are bounded before they are parsed."""

import os
from types import SimpleNamespace

import pytest
import yaml

from tunesmith.config import yaml_file
from tunesmith.config.compose import compose
from tunesmith.config.find import package_conf
from tunesmith.errors import ConfigError

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi"))  # noqa: B905 - of one length
WRONG = {
    "bomb": (BOMB, "at most 16 aliases"),
    "merges": ("a: &a {x: 1}\nb:\n" + "  - {<<: *a}\n" * 17, "at most 16 aliases"),
    "itself": ("a: &a [*a]\n", "at most 32 levels"),
    "further in itself": ("a: &a {b: {c: *a}}\n", "at most 32 levels"),
    "deep": ("a: " + "[" * 40 + "]" * 40, "at most 32 levels"),
    "very deep": ("a: " + "[" * 100_000, "at most 32 levels|maximum nesting depth"),  # from 0.2.6 on, libyaml's own
    "deep blocks": ("".join(" " * i + "a:\n" for i in range(40)), "at most 32 levels"),
    "large": ("a: " + "x" * (1 << 20), "more than 1,048,576 bytes"),
    "no mapping": ("[a]", "to be a mapping"),
    "no YAML": ("a: [", "to be a YAML file but got"),
    "an object": ("a: !!python/object/apply:os.mkdir [canary]", "the tag '!!python/object/apply:os.mkdir'"),
    "a path": ("a: !!python/object/apply:pathlib.PosixPath [/, x]", "'!!python/object/apply:pathlib.PosixPath'"),
    "a tag": ("a: !mine 1", "the tag '!mine'"),
    "binary": (b"\xff\xfe\x00", "to be a YAML file but got"),
}


@pytest.fixture
def seen(monkeypatch):
    """Events that were parsed, and files from which something was built."""
    seen = SimpleNamespace(events=0, built=[])

    def parse(*args, _parse=yaml.parse, **kwargs):
        for event in _parse(*args, **kwargs):
            seen.events += 1
            yield event

    def load(path, _load=yaml_file.OmegaConf.load):
        seen.built.append(path)
        return _load(path)

    monkeypatch.setattr(yaml, "parse", parse)
    monkeypatch.setattr(yaml_file.OmegaConf, "load", load)
    return seen


@pytest.mark.parametrize("name", WRONG)
def test_what_is_beyond_the_bounds_is_not_parsed(name, tmp_path, monkeypatch, seen):
    monkeypatch.chdir(tmp_path)
    content, sentence = WRONG[name]
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=sentence):
        yaml_file.read(path)
    assert seen.events < 250  # of 200,004 in the deepest one
    assert len(seen.built) == (name == "no mapping")
    assert not (tmp_path / "canary").exists()


def test_what_is_within_them_is_read(tmp_path, seen):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {b: [1]}\n" + "".join(f"x{i}: *a\n" for i in range(16)))
    assert yaml_file.read(path).x15.b == [1]
    assert seen.events > 40 and len(seen.built) == 1
    for shipped in package_conf().rglob("*.yaml"):
        yaml_file.require_bounds(shipped)
    with pytest.raises(ConfigError, match="No such file"):
        yaml_file.read(tmp_path / "none.yaml")


def test_only_regular_files_are_read_and_no_more_than_the_bound(tmp_path):
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    for path in (fifo, tmp_path / "endless.yaml", tmp_path):
        with pytest.raises(ConfigError, match=r"not a regular file|Is a directory"):
            yaml_file.read(path)


@pytest.mark.parametrize("file", ["loss/mine.yaml", "train.yaml"])
def test_the_bounds_hold_for_the_users_own_folders(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / file).parent.mkdir(parents=True)
    (tmp_path / "conf" / file).write_text(BOMB)
    with pytest.raises(ConfigError, match="at most 16 aliases"):
        compose("train", ["loss=mine"] if "loss" in file else [])

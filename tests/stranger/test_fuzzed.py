"""Files of a run, a sweep or a cache with anything in them: a sentence or a value, no traceback, no write, no hang."""

from __future__ import annotations

import contextlib
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.cache.shard import BrokenShardError, Shard, write
from tunesmith.config import yaml_file
from tunesmith.config.check.check import check
from tunesmith.config.confine import confine
from tunesmith.errors import TunesmithError
from tunesmith.run.record import metrics_log, run_folder
from tunesmith.run.resume import resume
from tunesmith.sweep import journal as journals

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def quick(cases):
    return settings(
        max_examples=cases, deadline=2000, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )


@st.composite
def changed(draw, text: str):
    """A file that was whole, with a value in it replaced, or some of its bytes."""
    if draw(st.booleans()):
        content = bytearray(text.encode())
        for _ in range(draw(st.integers(1, 4))):
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)
    whole = json.loads(text)
    place = whole
    while isinstance(place, dict) and place:
        key = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or draw(st.booleans()):
            place[key] = draw(PLAIN)
            break
        place = place[key]
    return json.dumps(whole).encode()


def files(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def holds(folder, name, content, act):
    (folder / name).write_bytes(content)
    before = files(folder)
    with contextlib.suppress(TunesmithError, BrokenShardError):
        act()
    assert files(folder) == before


CASES = pytest.mark.parametrize("cases", [15, pytest.param(2000, marks=pytest.mark.long)])


@CASES
def test_run_json(cases, sent, tmp_path):
    shutil.copytree(sent, tmp_path / "run")
    folder, text = tmp_path / "run", (sent / "run.json").read_text()

    @quick(cases)
    @given(changed(text))
    def attack(content):
        holds(folder, "run.json", content, lambda: run_folder.read(folder))

    attack()


@CASES
def test_configurations(cases, sent, tmp_path):
    shutil.copytree(sent, tmp_path / "run")
    folder = tmp_path / "run"
    from omegaconf import OmegaConf

    text = json.dumps(OmegaConf.to_container(OmegaConf.load(sent / "config.yaml")))  # JSON is YAML

    def act():
        cfg = yaml_file.read(folder / "config.yaml")
        check(cfg, recorded=True)
        confine(cfg)

    @quick(cases)
    @given(changed(text))
    def attack(content):
        holds(folder, "config.yaml", content, act)

    attack()


@CASES
def test_journals(cases, tmp_path):
    content = {"name": "x", "command": "tunesmith train", "search": {"seed": "0,1"}}
    journals.open_sweep(tmp_path, content)
    line = {"event": "ended", "job": 0, "round": 0, "changes": ["seed=0"], "folder": "0000-a", "status": "failed"}
    text = json.dumps({**line, "seconds": 1.0, "reason": ""})

    @quick(cases)
    @given(changed(text))
    def attack(content):
        holds(tmp_path, "journal.jsonl", content + b"\n", lambda: journals.read(tmp_path))

    attack()


@CASES
def test_manifests_of_sweeps_and_of_checkpoints(cases, sent, tmp_path):
    journals.open_sweep(tmp_path, {"name": "x", "command": "tunesmith train", "search": {"seed": "0,1"}})
    shutil.copytree(sent / "checkpoints", tmp_path / "checkpoints")
    of_sweep = (tmp_path / "sweep.json").read_text()
    of_checkpoints = (tmp_path / "checkpoints" / "manifest.json").read_text()

    @quick(cases)
    @given(changed(of_sweep), changed(of_checkpoints))
    def attack(one, other):
        holds(tmp_path, "sweep.json", one, lambda: journals.read(tmp_path))
        holds(tmp_path / "checkpoints", "manifest.json", other, lambda: resume.choose(tmp_path / "checkpoints"))

    attack()


@CASES
def test_metrics(cases, tmp_path):
    @quick(cases)
    @given(changed(json.dumps({"epoch": 1, "step": 2, "val/loss": 0.5})))
    def attack(content):
        holds(tmp_path, "metrics.jsonl", content, lambda: metrics_log.series(tmp_path, "val/loss"))

    attack()


@CASES
def test_shards(cases, tmp_path):
    path = tmp_path / "00000.safetensors"
    write(path, {"x": torch.arange(12).reshape(3, 4)})
    whole = path.read_bytes()

    @quick(cases)
    @given(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.integers()
    )
    def attack(bytes_, end):
        content = np.frombuffer(whole, np.uint8).copy()
        for place, byte in bytes_:
            content[place] = byte
        holds(tmp_path, path.name, content.tobytes()[: end if 0 <= end < len(whole) else None], lambda: Shard(path))

    attack()

from __future__ import annotations

import os
import time

import pytest
import torch

from tunesmith.cache.callback import place
from tunesmith.cache.store import Store
from tunesmith.config.check.check import check
from tunesmith.config.compose import compose
from tunesmith.errors import ConfigError
from tunesmith.run.cache import cache


@pytest.fixture
def run(tmp_path):
    """Three entries of 40 kB, used 0, 10 and 20 days ago; runs the command on them and gives what is left."""
    store = Store(place(str(tmp_path)))
    for days in (10, 0, 20):
        about = {
            "backbone": "Tiny",
            "kept": "features",
            "data": "Digits",
            "rows": 100,
            "x": days,
        }
        entry = store.entry(about)
        entry.prepare()
        entry.save(0, {"pooled": torch.zeros(100, 100)})
        os.utime(entry.folder / "entry.json", (time.time() - 86_400 * days,) * 2)

    def command(*overrides):
        cfg = compose("cache", [f"paths.cache={tmp_path}", *overrides])
        check(cfg, "cache")
        return [listed.about["x"] for listed in cache(cfg)]

    return command


def test_a_list_says_what_is_there(run, capsys, tmp_path):
    assert run() == [0, 10, 20]
    shown = capsys.readouterr().out
    for word in ("Tiny", "features", "Digits", "40.", "10 days ago", "kB in"):
        assert word in shown


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["unused_days=5"], [0]),
        (["unused_days=15"], [0, 10]),
        (["max_gb=1"], [0, 10, 20]),
        (["max_gb=0.0001"], [0, 10]),
        (["max_gb=0"], []),
        (["unused_days=15", "max_gb=0.00005"], [0]),
    ],
)
def test_pruning_takes_the_oldest(run, words, left):
    assert run("action=prune", *words) == left


def test_verify_removes_what_is_damaged(run, tmp_path, capsys):
    (path, *_) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert run("action=verify") == [0, 10, 20]
    assert "damaged" in capsys.readouterr().out and not path.exists()
    run("action=verify")
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.parametrize("words", [["action=prune"], ["max_gb=1"], ["action=verify", "unused_days=1"]])
def test_what_to_prune_must_be_said(run, words):
    with pytest.raises(ConfigError, match="action=prune with"):
        run(*words)

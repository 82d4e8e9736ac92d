from __future__ import annotations

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from tunesmith.cache import key
from tunesmith.cache.frozen import Cut, Frozen

ROWS = np.arange(60)
PROBE = Cut(3, True, False)


@pytest.fixture
def describe(assembled):
    def make(*overrides, cut=PROBE, rows=ROWS, precision="32-true", dtype="exact", view=None, change=None):
        parts = assembled(*overrides)
        if change:
            change(parts)
        frozen = Frozen(parts.task, parts.trainer, parts.data.preprocess)
        return json.dumps(key.describe(frozen, cut, parts.data, rows, precision, dtype, view), sort_keys=True)

    return make


def one_byte(parts):
    parts.data.digests[0][17] = b"0" * 16


def one_weight(parts):
    parts.task.backbone.net.stage3[1].running_var[3] += 1e-6


def one_layer(parts):
    parts.task.backbone.net.stage2[2].negative_slope = 0.1
    parts.task.backbone.net.stage2[2].extra_repr = lambda: "negative_slope=0.1"


@pytest.mark.parametrize(
    "change",
    [
        {"change": one_byte},
        {"change": one_weight},
        {"change": one_layer},
        {"overrides": ["backbone.image_size=24"]},
        {"overrides": ["task.channels_last=false"]},
        {"overrides": ["data.noise=0.2"]},
        {"cut": Cut(3, False, False)},
        {"cut": Cut(2, False, False)},
        {"cut": Cut(3, True, True)},
        {"rows": ROWS[:-1]},
        {"rows": ROWS[::-1]},
        {"precision": "bf16-mixed"},
        {"dtype": "float16"},
        {"view": 0},
    ],
)
def test_any_change_is_another_entry(describe, change):
    overrides = change.pop("overrides", [])
    assert describe(*overrides, **change) != describe()


def test_views_differ_by_epoch_seed_and_augmentation(describe):
    augmented = ["data.augment=light"]
    ways = [
        describe(*augmented, view=0),
        describe(*augmented, view=1),
        describe(*augmented, "data.seed=1", view=0),
        describe("data.augment=rotations", view=0),
    ]
    assert len(set(ways)) == 4


@pytest.mark.parametrize(
    "change", [["seed=5"], ["data.split.seed=3"], ["head=mlp"], ["optimizer.lr=1"], ["data.batch_size=8"]]
)
def test_another_run_on_the_same_pictures_shares_the_entry(describe, change, monkeypatch):
    """The weights of the tiny backbone are drawn anew for each run; here they are the same."""
    monkeypatch.setattr(key, "content_hash", lambda tensors: "the same")
    assert describe(*change) == describe()


def test_versions_are_part_of_it(describe, monkeypatch):
    before = describe()
    monkeypatch.setattr(key, "version", lambda name: "9.9")
    assert describe() != before


def test_of_large_files_the_time_of_change_counts(tmp_path):
    file = tmp_path / "x.jpg"
    file.write_bytes(b"x")
    head, whole = (SimpleNamespace(digests=([b"a"], w), table=SimpleNamespace(pictures=[file])) for w in (False, True))
    before = [key._pictures(data, np.array([0])) for data in (head, whole)]
    os.utime(file, (1, 1))
    after = [key._pictures(data, np.array([0])) for data in (head, whole)]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True]

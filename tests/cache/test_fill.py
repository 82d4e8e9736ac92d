from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.cache.activation import Activation, Wanted
from tunesmith.cache.fill import fill
from tunesmith.cache.frozen import Frozen
from tunesmith.cache.store import Layout, Store

LAYOUT = Layout(60, 32)


@pytest.fixture
def ready(assembled, tmp_path):
    parts = assembled()
    frozen = Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)

    def make(dtype="exact"):
        recipe = Activation(frozen, parts.data, Wanted(3, np.arange(60)), "32-true", dtype)
        return Store(tmp_path / "store").entry({"rows": 60}), recipe

    return make


def test_every_image_is_there_afterwards_in_its_place(ready):
    entry, recipe = ready()
    done = fill(entry, LAYOUT, [0, 1], recipe)
    (part,) = recipe.parts([range(40, 60)])
    assert torch.equal(done[1].tensors["pooled"][8:], part["pooled"])
    assert entry.load(LAYOUT)[1] == []


def test_only_what_is_missing_is_computed(ready):
    entry, recipe = ready()
    fill(entry, LAYOUT, [0, 1], recipe)
    before = entry.path(0).stat()
    entry.path(1).unlink()
    assert list(fill(entry, LAYOUT, [1], recipe)) == [1]
    assert entry.path(0).stat().st_ino == before.st_ino


def test_what_another_process_has_finished_meanwhile_is_taken(ready, monkeypatch):
    entry, recipe = ready()
    monkeypatch.setattr("tunesmith.cache.fill.secrets.randbelow", lambda n: 0)
    theirs = {"pooled": torch.full((28, 64), 7.0)}
    save = entry.save

    def save_and_be_overtaken(shard, tensors):
        save(shard, tensors)
        save(1, theirs)

    monkeypatch.setattr(entry, "save", save_and_be_overtaken)
    done = fill(entry, LAYOUT, [0, 1], recipe)
    assert torch.equal(done[1].tensors["pooled"], theirs["pooled"])
    assert not torch.equal(done[0].tensors["pooled"][0], theirs["pooled"][0])


def test_numbers_are_kept_as_asked(ready):
    entry, recipe = ready("bfloat16")
    assert fill(entry, LAYOUT, [0, 1], recipe)[0].tensors["pooled"].dtype == torch.bfloat16

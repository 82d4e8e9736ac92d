from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.cache.fill import Plain, View, fill
from tunesmith.cache.frozen import Cut, Frozen
from tunesmith.cache.store import Layout, Store
from tunesmith.data.sampler import Key

CUT = Cut(3, pooled=True, levels=False)
LAYOUT = Layout(60, 32)


@pytest.fixture
def ready(assembled, tmp_path):
    parts = assembled()
    entry = Store(tmp_path / "store").entry({"rows": 60})
    return entry, Plain(parts.data.pictures(np.arange(60))), Frozen(parts.task, parts.trainer, parts.data.preprocess)


def test_every_picture_is_there_afterwards_in_its_place(ready):
    entry, source, frozen = ready
    done = fill(entry, LAYOUT, [0, 1], source, frozen, CUT, None)
    (pictures,) = source.batches([range(40, 60)])
    assert torch.equal(done[1].tensors["pooled"][8:], frozen.run(pictures, CUT)["pooled"])
    assert entry.load(LAYOUT)[1] == []


def test_only_what_is_missing_is_computed(ready, monkeypatch):
    entry, source, frozen = ready
    fill(entry, LAYOUT, [0, 1], source, frozen, CUT, None)
    before = entry.path(0).stat()
    entry.path(1).unlink()
    assert list(fill(entry, LAYOUT, [1], source, frozen, CUT, None)) == [1]
    assert entry.path(0).stat().st_ino == before.st_ino


def test_what_another_process_has_finished_meanwhile_is_taken(ready, monkeypatch):
    entry, source, frozen = ready
    monkeypatch.setattr("tunesmith.cache.fill.secrets.randbelow", lambda n: 0)
    theirs = {"pooled": torch.full((28, 64), 7.0)}
    save = entry.save

    def save_and_be_overtaken(shard, tensors):
        save(shard, tensors)
        save(1, theirs)

    monkeypatch.setattr(entry, "save", save_and_be_overtaken)
    done = fill(entry, LAYOUT, [0, 1], source, frozen, CUT, None)
    assert torch.equal(done[1].tensors["pooled"], theirs["pooled"])
    assert not torch.equal(done[0].tensors["pooled"][0], theirs["pooled"][0])


def test_numbers_are_kept_as_asked(ready):
    entry, source, frozen = ready
    done = fill(entry, LAYOUT, [0, 1], source, frozen, CUT, torch.bfloat16)
    assert done[0].tensors["pooled"].dtype == torch.bfloat16


def test_a_view_is_what_training_sees_in_that_epoch(assembled):
    data = assembled("data.augment=light").data
    dataset = data.training_pictures()
    (pictures,) = View(dataset, 2).batches([range(3)])
    expected = [dataset.__getitems__([Key(2, position)])[0]["input"] for position in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(pictures, expected, strict=True))
    (others,) = View(dataset, 3).batches([range(3)])
    assert not all(torch.equal(a, b) for a, b in zip(pictures, others, strict=True))

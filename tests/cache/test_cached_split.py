from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from tunesmith.cache.cached_split import CachedSplit, OpenEntry, Rows
from tunesmith.cache.shard import Shard, write
from tunesmith.cache.store import Layout


@pytest.fixture
def rows(tmp_path):
    """Five rows in two files; what is kept of row r of the table is the number 10 r."""

    def make(frugal=False, dtype=torch.float32):
        table_rows = np.array([2, 3, 5, 8, 9])
        parts = torch.tensor(table_rows * 10.0, dtype=torch.float32)[:, None].split(3)
        for i, part in enumerate(parts):
            write(tmp_path / f"{i}.safetensors", {"pooled": part.contiguous()})
        shards = [Shard(tmp_path / f"{i}.safetensors") for i in range(2)]
        return Rows(OpenEntry(shards, Layout(5, 3), table_rows, frugal), {"pooled": dtype})

    return make


def test_rows_are_those_of_the_table(rows):
    found = rows()
    assert [found[row]["pooled"].item() for row in (2, 3, 5, 8, 9)] == [20, 30, 50, 80, 90]


def test_numbers_come_in_the_type_they_were_computed_in(rows):
    assert rows(dtype=torch.bfloat16)[5]["pooled"].dtype == torch.bfloat16


def test_memory_is_given_back_on_the_way(rows, monkeypatch):
    monkeypatch.setattr("tunesmith.cache.cached_split.LET_GO", 10)
    let_go = []
    monkeypatch.setattr(Shard, "let_go", lambda self: let_go.append(self))
    frugal, ample = rows(frugal=True), rows()
    assert [frugal[8]["pooled"].item() for _ in range(6)] == [80.0] * 6
    assert len(let_go) == 4  # twice, two files
    assert [ample[8]["pooled"].item() for _ in range(6)] == [80.0] * 6
    assert len(let_go) == 4


def test_epochs_take_views_in_turn():
    views = [{8: "first"}, {8: "second"}]
    kept = CachedSplit(torch.tensor([0]), [views])
    assert [kept.find(epoch, 8) for epoch in range(3)] == ["first", "second", "first"]
    assert kept.complete


def test_a_phase_without_views_needs_the_images(rows):
    kept = CachedSplit(torch.tensor([0, 2]), [[rows()], []])
    assert [kept.find(epoch, 8) is None for epoch in range(4)] == [False, False, True, True]
    assert not kept.complete


def test_a_worker_process_can_have_it(rows):
    kept = pickle.loads(pickle.dumps(CachedSplit(torch.tensor([0]), [[rows()]])))
    assert kept.find(0, 9)["pooled"].item() == 90


def test_worker_processes_that_are_there_already_see_a_phase_begin_ahead_of_time(rows):
    firsts = torch.tensor([0, 2]).share_memory_()
    kept = CachedSplit(firsts, [[rows()], []])
    batches = DataLoader(Found(kept), num_workers=1, persistent_workers=True, batch_size=None)
    assert [found is None for found in batches] == [False, False, True]
    firsts[1] = 1
    assert [found is None for found in batches] == [False, True, True]


class Found(Dataset):
    """What is kept of row 8 for three epochs."""

    def __init__(self, kept):
        self.kept = kept

    def __len__(self):
        return 3

    def __getitem__(self, epoch):
        return self.kept.find(epoch, 8)

from __future__ import annotations

import os
import time

import pytest
import torch

from tunesmith.cache.store import LEFT_OVER, Layout, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "activations")


@pytest.fixture
def entry(store):
    entry = store.entry({"rows": 100})
    entry.prepare()
    for shard in range(2):
        entry.save(shard, {"pooled": torch.full((64 if shard == 0 else 36, 2), float(shard))})
    return entry


LAYOUT = Layout(100, 64)


@pytest.mark.parametrize(
    ("rows", "row_bytes"), [(1, 4), (100, 5_000), (2_624, 86_000), (1_300_000, 5_000), (50, 10**9)]
)
def test_a_layout_holds_every_row_once_in_whole_batches(rows, row_bytes):
    layout = Layout.plan(rows, row_bytes, 32)
    assert [row for shard in range(layout.shards) for row in layout.span(shard)] == list(range(rows))
    assert layout.per_shard % 32 == 0
    assert layout.per_shard == 32 or layout.per_shard * row_bytes <= 64 * 2**20


def test_what_is_saved_is_found_again(store, entry):
    there, missing = store.entry({"rows": 100}).load(LAYOUT)
    assert sorted(there) == [0, 1] and not missing
    assert there[1].tensors["pooled"][0, 0] == 1


def test_anything_else_is_another_entry(store, entry):
    assert store.entry({"rows": 101}).load(LAYOUT) == ({}, [0, 1])


def test_a_missing_file_alone_is_missing(entry):
    entry.path(0).unlink()
    there, missing = entry.load(LAYOUT)
    assert missing == [0] and list(there) == [1]


def test_an_altered_file_is_missing_and_said(entry, caplog):
    content = bytearray(entry.path(1).read_bytes())
    content[-1] ^= 1
    entry.path(1).write_bytes(content)
    there, missing = entry.load(LAYOUT)
    assert missing == [1] and list(there) == [0]
    assert "computed anew" in caplog.text


def test_a_file_of_other_rows_is_missing(entry, caplog):
    entry.path(1).write_bytes(entry.path(0).read_bytes())
    assert entry.load(LAYOUT)[1] == [1]


def test_leavings_of_a_killed_writer_go_and_a_writer_at_work_stays(store, entry):
    old, new = (entry.folder / f".0000{i}.safetensors.abc.tmp" for i in range(2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - LEFT_OVER - 1,) * 2)
    store.sweep_up()
    assert not old.exists() and new.exists()


def test_entries_are_listed_by_last_use(store, entry):
    other = store.entry({"rows": 5})
    other.prepare()
    os.utime(entry.folder / "entry.json", (1, 1))
    assert [listed.about for listed in store.entries()] == [{"rows": 5}, {"rows": 100}]
    assert store.size() == sum(p.stat().st_size for p in store.folder.rglob("*.*"))
    entry.used()
    assert next(store.entries()).about == {"rows": 100}


def test_a_store_that_is_not_there_yet_is_empty(tmp_path):
    store = Store(tmp_path / "a" / "b")
    assert list(store.entries()) == [] and store.size() == 0 and store.free() > 0
    store.sweep_up()

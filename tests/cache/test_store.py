from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

import pytest
import torch

from tunesmith.cache import store as stores
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


@pytest.mark.parametrize(
    ("rows", "row_bytes", "batch", "per_shard"),
    [
        (100, 4, 32, 256),  # never fewer than 8 batches
        (64 * 1000, 4, 32, 992),  # at least 64 files, in whole batches
        (64 * 1024, 4, 32, 1024),
        (10**6, 2**20, 32, 64),  # at most 64 MB
        (10**6, 2**21 + 1, 32, 32),  # but a batch
        (10**6, 2**30, 32, 32),
        (10**6, 0, 32, 15616),
        (0, 4, 32, 256),
        (100, 4, 1, 8),
    ],
)
def test_how_many_rows_a_file_holds(rows, row_bytes, batch, per_shard):
    layout = Layout.plan(rows, row_bytes, batch)
    assert layout == Layout(rows, per_shard) and layout.shards == -(-rows // per_shard)


def test_the_last_file_may_hold_fewer_rows():
    assert [list(Layout(5, 2).span(shard)) for shard in range(3)] == [[0, 1], [2, 3], [4]]
    assert (Layout(4, 2).shards, Layout(5, 2).shards, Layout(0, 2).shards) == (2, 3, 0)


def test_an_entry_is_named_by_the_digest_of_what_it_depends_on(store, entry):
    assert store.entry({"a": 1, "b": 2}).folder == store.entry({"b": 2, "a": 1}).folder
    assert len(store.entry({"a": 1}).folder.name) == 32 and entry.folder.parent == store.folder
    assert entry.path(7).name == "00007.safetensors" and entry.path(7).parent == entry.folder
    assert json.loads((entry.folder / "entry.json").read_text()) == {"rows": 100} == entry.about
    entry.prepare()  # once more


def test_one_file_is_opened_as_all_are(entry, caplog):
    assert entry.open(0, LAYOUT).tensors["pooled"].shape == (64, 2)
    assert entry.open(2, LAYOUT) is None and not caplog.messages
    assert entry.open(0, Layout(100, 50)) is None and "another number of rows" in caplog.text
    entry.path(1).write_bytes(b"")
    assert entry.open(1, LAYOUT) is None and len(caplog.messages) == 2


def test_what_is_no_entry_is_not_listed(store, entry):
    (store.folder / "other").mkdir()
    (store.folder / "broken").mkdir()
    (store.folder / "broken" / "entry.json").write_text("{")
    assert [listed.folder for listed in store.entries()] == [entry.folder]


def test_the_age_is_that_of_the_last_use(store, entry, monkeypatch):
    os.utime(entry.folder / "entry.json", (100, 100))
    monkeypatch.setattr(stores.time, "time", lambda: 130.0)
    (listed,) = store.entries()
    assert listed.age == 30.0
    entry.folder.joinpath("entry.json").unlink()
    entry.used()  # just removed by another process, or in a folder that is only to be read
    assert list(store.entries()) == []


def test_bytes_of_all_and_of_all_but_one(store, entry):
    other = store.entry({"rows": 5})
    other.prepare()
    own = sum(path.stat().st_size for path in entry.folder.iterdir())
    rest = (other.folder / "entry.json").stat().st_size
    assert (store.size(), store.size(entry), store.size(other)) == (own + rest, rest, own)
    assert store.size(store.entry({"rows": 6})) == own + rest


def test_room_is_what_may_be_added_and_a_tenth_of_the_disk_stays_free(store, entry, monkeypatch):
    monkeypatch.setattr(stores.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    size = store.size()
    assert store.room(size + 100) == 100 and store.room(size + 900) == store.room(size + 901) == 900
    assert store.room(100, entry) == 100 and store.room(0) == -size


def test_the_free_bytes_are_those_of_the_nearest_folder_that_is_there(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(stores.shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=7))
    (tmp_path / "a").mkdir()
    assert [Store(tmp_path / "a").free(), Store(tmp_path / "a" / "b" / "c").free()] == [7, 7]
    assert asked == [tmp_path / "a"] * 2


def test_an_entry_is_removed_whole_and_who_reads_it_keeps_what_is_open(store, entry):
    there, _ = entry.load(LAYOUT)
    (listed,) = store.entries()
    store.remove(listed)
    assert not entry.folder.exists() and list(store.entries()) == []
    assert there[1].tensors["pooled"].sum() == 72


def test_leavings_count_after_a_quarter_of_an_hour(store, entry, monkeypatch):
    path = entry.folder / ".00000.safetensors.abc.tmp"
    path.write_bytes(b"half")
    os.utime(path, (100, 100))
    for seconds, there in ((900, True), (901, False)):
        monkeypatch.setattr(stores.time, "time", lambda now=100.0 + seconds: now)
        store.sweep_up()
        assert path.exists() is there
    assert entry.load(LAYOUT)[1] == []

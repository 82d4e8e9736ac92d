import json
import logging
import os
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tunesmith import atomic
from tunesmith.cache.store import Store
from tunesmith.cache.tokens import TokenCache
from tunesmith.data.column import Column
from tunesmith.data.tabular import arrow, columns, shelf
from tunesmith.data.tabular.reading import Joined

TEXT = Path(__file__).parents[1] / "text"
recorded = runpy.run_path(str(TEXT / "recorded.py"))
EXPECTED = json.loads((TEXT / "recorded.json").read_text())
CASE = "classes in csv"


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(shelf, "LARGE", 0)
    monkeypatch.setattr("tunesmith.cache.tokens.AT_ONCE", 0)


@pytest.fixture
def read(monkeypatch):
    """Files that were read."""
    found, own = [], columns.read

    def counted(file, key="data.file"):
        found.append(file.name)
        return own(file, key)

    monkeypatch.setattr(columns, "read", counted)
    return found


@pytest.fixture
def made(tmp_path):
    """Makes the data module of a case, with a cache."""
    recorded["write"](tmp_path)

    def make(case=CASE, mode="auto", max_bytes=10**9):
        cache = TokenCache(Store(tmp_path / "store"), mode, max_bytes)
        data = recorded["made"](case, tmp_path, Path(os.environ["SMALL_TEXTS"]), cache)
        data.cache = cache
        return data

    return make


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("case", recorded["CASES"])
def test_a_second_start_gives_the_same_and_reads_nothing(case, made, read):
    for _ in range(2):
        data = made(case)
        assert recorded["values"](data) == EXPECTED[case]
        assert isinstance(data.table.samples.columns[0], Column)
    assert len(read) == 1, "the second start has the columns of the first"


def test_targets_digests_and_rows_are_not_made_again(made, monkeypatch):
    made()
    for name in ("tunesmith.data.tabular.shelf.Columns.read", "tunesmith.data.fingerprint.Contents.of"):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("made again"))
    monkeypatch.setattr("tunesmith.data.split.split.Split._drawn", lambda *_: pytest.fail("drawn again"))
    monkeypatch.setattr("tunesmith.data.text.tokenizer.Tokenizer._cut", lambda *_: pytest.fail("tokenised again"))
    assert recorded["values"](made()) == EXPECTED[CASE]


def test_another_file_is_another_table(made, tmp_path, read):
    first = made()
    file = tmp_path / "t.csv"
    file.write_text(file.read_text().replace("film", "movie", 1))
    second = made()
    assert len(read) == 2 and first.spec.fingerprint != second.spec.fingerprint
    assert list(first.table.samples) != list(second.table.samples), "a map stays what it was"


def test_other_settings_share_the_columns(made, tmp_path, read):
    for case in ("classes in csv", "levels", "pairs by group", "labels with a separator", "translation"):
        assert recorded["values"](made(case)) == EXPECTED[case]
    assert len(read) == 1 and len(list((tmp_path / "store").rglob("cells.arrow"))) == 1


class KilledError(BaseException):
    """The process ends here."""


def test_killed_at_any_write_the_next_start_is_right(made, tmp_path, monkeypatch):
    own, left = atomic.atomic, [0]

    def killed(path):
        left[0] -= 1
        if left[0] == 0:
            path.with_name(f".{path.name}.0.tmp").write_bytes(b"half")
            raise KilledError
        return own(path)

    for module in (atomic, arrow, shelf):
        monkeypatch.setattr(module, "atomic", killed)
    kills = 0
    for number in range(1, 100):
        left[0] = number
        try:
            data = made()
        except KilledError:
            kills += 1
            left[0] = 0
            assert recorded["values"](made()) == EXPECTED[CASE]
            for path in sorted((tmp_path / "store").rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            continue
        break
    assert kills > 8 and recorded["values"](data) == EXPECTED[CASE]


def test_a_damaged_file_is_made_anew(made, tmp_path, caplog):
    made()
    (entry,) = {path.parent for path in tmp_path.rglob("cells.arrow")}
    before = files(entry)
    for name, content in before.items():
        if name.suffix in (".arrow", ".npy"):
            caplog.clear()
            (entry / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
            with caplog.at_level(logging.WARNING):
                assert recorded["values"](made()) == EXPECTED[CASE], name
            assert f"{name} is damaged" in caplog.text
            assert {n: c for n, c in files(entry).items() if n.name != "entry.json"} == {
                n: c for n, c in before.items() if n.name != "entry.json"
            }


def test_modes_and_room(made, tmp_path, read):
    for mode in ("off", "read_only"):
        assert recorded["values"](made(mode=mode)) == EXPECTED[CASE]
        assert not (tmp_path / "store").exists()
    full = made(max_bytes=10)
    assert "The columns of a table are read each time" in full.cache.said[0] and len(read) == 3
    made()
    before = files(tmp_path / "store")
    assert recorded["values"](made(mode="read_only")) == EXPECTED[CASE] and len(read) == 4
    assert recorded["values"](made("levels", mode="read_only")) == EXPECTED["levels"]
    assert files(tmp_path / "store") == before


def test_a_folder_that_cannot_be_written_to_only_costs_time(made, tmp_path, caplog):
    (tmp_path / "store").write_text("a file")
    assert recorded["values"](made()) == EXPECTED[CASE] and "the table is read each time" in caplog.text


def test_the_entry_is_listed(made, tmp_path):
    made()
    (listed,) = [own for own in Store(tmp_path / "store").entries() if own.about["kept"] == "table"]
    assert listed.about["rows"] == recorded["ROWS"] and listed.size > 1000


def test_a_second_start_makes_few_objects(made, monkeypatch):
    made()
    cells, own = [], Column.span

    def counted(self, start, stop):
        cells.append(stop - start)
        return own(self, start, stop)

    monkeypatch.setattr(Column, "span", counted)
    data = made()
    next(iter(data.train_dataloader()))
    assert sum(cells) < 10, "texts that are named in messages, and no other"
    assert sum(map(len, data.table.samples)) == recorded["ROWS"] and sum(cells) >= recorded["ROWS"]


def test_mapped_columns_are_no_memory_of_this_process(tmp_path):
    arrow.write(iter([{"a": ["x" * 100] * 10_000}] * 10), tmp_path / "a.arrow")
    before = pa.total_allocated_bytes()
    found = arrow.mapped(tmp_path / "a.arrow")
    assert len(found["a"]) == 100_000 and found["a"][99_999] == "x" * 100
    assert pa.total_allocated_bytes() - before < 100_000
    held = arrow.held(iter([{"a": ["x" * 100] * 10_000}] * 10))
    assert pa.total_allocated_bytes() - before > 10**7 and len(held["a"]) == 100_000


def test_columns_may_begin_late_and_lists_are_told(tmp_path):
    batches = [{"a": ["x"]}, {"a": ["y"], "b": [Joined("p;q")]}, {"b": ["r"]}]
    arrow.write(iter(batches), tmp_path / "a.arrow")
    for found in (arrow.mapped(tmp_path / "a.arrow"), arrow.held(iter(batches))):
        assert {name: list(own) for name, own in found.items()} == {"a": ["x", "y", ""], "b": ["", "p;q", "r"]}
        assert {name: own.joined for name, own in found.items()} == {"a": False, "b": True}


@pytest.mark.parametrize("content", [b"nothing", None])
def test_what_is_no_whole_arrow_file_is_refused(content, tmp_path):
    arrow.write(iter([{"a": ["x"] * 100}]), tmp_path / "a.arrow")
    whole = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(whole[:-200] if content is None else content)
    with pytest.raises(arrow.BrokenColumnsError):
        arrow.mapped(tmp_path / "a.arrow")


def test_what_another_class_makes_is_not_kept(tmp_path, made, monkeypatch):
    class Other(recorded["TextTable"]):
        pass

    monkeypatch.setitem(recorded["CASES"], "other", (Other, "bert", "csv", {}))
    assert recorded["values"](made("other")) == EXPECTED[CASE]
    assert not list(tmp_path.rglob("cells.arrow"))


def test_worker_processes_give_the_same_batches(made):
    data = made()
    expected = recorded["digest"]([dict(batch) for batch in data.train_dataloader()])
    again = made()
    again.workers = 1
    loader = again.train_dataloader()
    assert loader.num_workers == 1 and recorded["digest"]([dict(batch) for batch in loader]) == expected


def test_arrays_are_written_by_nobody(made):
    made()
    targets = made().table.targets
    assert targets.dtype == np.int64 and not targets.flags.owndata

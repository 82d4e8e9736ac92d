import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from tunesmith.data import fingerprint as module
from tunesmith.data.column import RowNames, ascending
from tunesmith.data.fingerprint import (
    Digests,
    digest_all,
    digest_members,
    digest_names,
    fingerprint,
    shared,
    twins,
)
from tunesmith.data.table import Table
from tunesmith.errors import DataError
from tunesmith.modality import base as modality


def lay(root, contents=("one", "two", "three", "four"), order=slice(None)):
    root.mkdir(exist_ok=True)
    names = [f"p{i}" for i in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (root / name).write_text(content)
    targets = np.arange(len(names)) % 2
    return Table([root / n for n in names[order]], targets[order], ("a", "b"), np.array(names[order]))


def digests(contents):
    """Digests of samples that are equal where their contents are."""
    own = b"".join(hashlib.blake2b(str(content).encode(), digest_size=16).digest() for content in contents)
    return Digests(np.frombuffer(own, np.uint8).reshape(-1, 16).copy())


def of(table, **options):
    return fingerprint(table, *digest_all(table.samples, modality.of(table.modality), **options))


def test_place_time_and_order_do_not_count(tmp_path):
    first = of(lay(tmp_path / "here"))
    there = lay(tmp_path / "there", order=slice(None, None, -1))
    for path in there.samples:
        os.utime(path, (1, 1))
    assert of(there) == first
    assert first.startswith("content:")


def test_one_byte_counts(tmp_path):
    first = of(lay(tmp_path))
    assert of(lay(tmp_path, ("one", "two", "three", "fous"))) != first
    assert of(lay(tmp_path)) == first


def test_labels_and_names_count(tmp_path):
    table = lay(tmp_path)
    changes = [
        {"targets": np.array([1, 1, 0, 1])},
        {"class_names": ("a", "c")},
        {"names": np.array(["p0", "p1", "p2", "q"])},
    ]
    assert len({of(table), *(of(replace(table, **change)) for change in changes)}) == 4


def test_contents_cannot_be_swapped(tmp_path):
    assert of(lay(tmp_path / "a")) != of(lay(tmp_path / "b", ("three", "two", "one", "four")))


def test_pixels_count_and_so_does_their_shape():
    pixels = np.zeros((4, 2, 3), np.uint8)
    table = Table(pixels, np.array([0, 1, 0, 1]), ("a", "b"), np.array(list("wxyz")), 1)
    changed = pixels.copy()
    changed[3, 1, 2] = 1
    others = [replace(table, samples=changed), replace(table, samples=pixels.reshape(4, 3, 2))]
    assert len({of(table), *map(of, others)}) == 3


def test_of_large_sets_only_size_and_head_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEAD_BYTES", 2)
    first = of(lay(tmp_path), max_bytes=5)
    assert first.startswith("head:")
    assert of(lay(tmp_path, ("onf", "two", "three", "four")), max_bytes=5) == first
    assert of(lay(tmp_path, ("onee", "two", "three", "four")), max_bytes=5) != first
    assert of(lay(tmp_path, ("ane", "two", "three", "four")), max_bytes=5) != first


def test_a_missing_file_is_named(tmp_path):
    table = lay(tmp_path)
    (tmp_path / "p2").unlink()
    with pytest.raises(DataError, match=r"p2: No such file"):
        of(table)


def test_images_in_two_splits_are_found():
    found = twins(digests("abacbb"))
    assert found.tolist() == [[0, 0], [1, 1], [2, 0], [4, 1], [5, 1]]
    indices = {"train": np.array([0, 1, 4]), "test": np.array([2, 3, 5])}
    assert shared(found, indices) == [(0, 2), (1, 5)]
    assert shared(found, {"test": indices["test"], "train": indices["train"]}) == [(2, 0), (5, 1), (5, 4)]
    assert shared(found, {"train": np.arange(6)}) == []
    assert shared(twins(digests("abc")), indices) == []


def test_digests_that_begin_alike_are_told_apart():
    own = digests("aba")
    own.array[:, :8] = 0
    assert twins(own).tolist() == [[0, 0], [2, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_those_that_going_through_all_rows_finds(seed):
    draw = np.random.default_rng(seed)
    own, split = digests(draw.integers(0, 20, 60).tolist()), draw.integers(0, 4, 60)
    indices = {name: np.flatnonzero(split == i) for i, name in enumerate(("train", "val", "test"))}
    first, pairs = {}, []
    for name, rows in indices.items():
        for row in rows.tolist():
            owner, other = first.setdefault(own[row], (name, row))
            pairs += [(other, row)] if owner != name else []
    assert shared(twins(own), indices) == pairs and pairs


def test_names_of_rows_are_in_order_as_text():
    for total in (1, 9, 10, 11, 1234):
        names = RowNames(total)
        assert ascending(names).tolist() == np.argsort(np.asarray(names), kind="stable").tolist()
    rows = np.array([3, 99, 0, 11, 9])
    assert RowNames(120)[ascending(RowNames(120), rows)].tolist() == sorted(RowNames(120)[rows].tolist())


def test_names_are_digested_alike_one_by_one_and_at_once(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 7)
    rows = np.array([40, 3, 99, 0, 11, 9, 98, 12])
    for names in (RowNames(120), np.asarray(RowNames(120))):
        table = Table([("a",)] * 120, [0] * 120, (), names, kind="tokens", modality="text")
        said = hashlib.blake2b(repr(sorted(map(str, names[rows]))).encode(), digest_size=16).hexdigest()
        assert digest_members(table, rows) == digest_names(names[rows]) == said


def test_a_digest_of_names_does_not_depend_on_their_order():
    assert digest_names(["a", "b"]) == digest_names(np.array(["b", "a"]))
    assert len({digest_names(names) for names in (["a", "b"], ["a"], ["ab"], [])}) == 4

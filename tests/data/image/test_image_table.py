import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tunesmith.data.image.image_table import ImageTable
from tunesmith.data.spec import members
from tunesmith.data.split.split import Split
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess

COUNT = 40


@pytest.fixture
def photos(tmp_path):
    """A folder of images, each grey as its number."""
    (tmp_path / "photos").mkdir()
    for i in range(COUNT):
        Image.fromarray(np.full((12, 16), 5 * i, np.uint8)).save(tmp_path / "photos" / f"{i:02d}.png")
    return tmp_path


@pytest.fixture
def table(photos):
    """Makes a data module of a table beside the images."""

    def make(columns, rows=COUNT, suffix="csv", size=8, **options):
        frame = pd.DataFrame({"path": [f"photos/{i:02d}.png" for i in range(rows)]} | columns)
        file = photos / f"labels.{suffix}"
        frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
        data = ImageTable(**{"file": str(file), "channels": 1, "split": Split(by="auto", val=0.2)} | options)
        data.connect(ImagePreprocess(size=size))
        return data

    return make


WORDS = ["cat", "dog", "dog", "eel"] * 10
VALUES = np.linspace(-1, 3, COUNT)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("columns", "options", "kind", "shape"),
    [
        ({"label": WORDS}, {}, "class", (COUNT,)),
        ({"label": WORDS}, {"target": "ordinal", "classes": ["eel", "cat", "dog"]}, "ordinal", (COUNT,)),
        ({"label": VALUES}, {}, "value", (COUNT, 1)),
        ({"x": VALUES, "y": VALUES[::-1]}, {"labels": ["x", "y"]}, "value", (COUNT, 2)),
        ({"a": [1, 0] * 20, "b": [0, 0, 1, 1] * 10}, {"labels": ["a", "b"]}, "multilabel", (COUNT, 2)),
        ({"label": ["a", "a|b", "", "b"] * 10}, {"separator": "|"}, "multilabel", (COUNT, 2)),
    ],
)
def test_every_kind_comes_as_a_batch_with_the_right_targets(table, suffix, columns, options, kind, shape):
    data = table(columns, suffix=suffix, **options)
    data.setup()
    assert data.spec.target == kind
    assert data.table.targets.shape == shape
    assert sum(len(rows) for rows in data.indices.values()) == COUNT
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            rows = batch["index"].numpy()
            done = data.on_after_batch_transfer(batch, 0)
            assert np.array_equal(done["target"].numpy(), data.table.targets[rows])
            assert done["target"].dtype == (torch.int64 if len(shape) == 1 else torch.float32)
            assert "weight" not in done


def test_weights_reach_the_batch(table):
    weights = np.arange(COUNT) / 8
    data = table({"label": WORDS, "weight": weights})
    data.setup()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["weight"].dtype == torch.float32
    assert batch["weight"].tolist() == weights[batch["index"].numpy()].tolist()
    other = table({"label": WORDS, "weight": weights}, weight=None)
    other.setup()
    assert "weight" not in next(iter(other.train_dataloader()))
    assert other.spec.fingerprint != data.spec.fingerprint


def test_groups_and_given_splits(table):
    patients = [f"p{i // 4}" for i in range(COUNT)]
    data = table({"label": WORDS, "group": patients}, split=Split(by="group", val=0.2))
    data.setup()
    owners = [set(data.table.groups[rows].tolist()) for rows in data.indices.values()]
    assert sum(map(len, owners)) == 10
    assert data.spec.group == "group"
    words = ["train"] * 28 + ["Valid"] * 4 + ["test"] * 8
    given = table({"label": WORDS, "subset": words}, split_column="subset")
    given.setup()
    assert {s: len(rows) for s, rows in given.indices.items()} == {"train": 28, "val": 4, "test": 8}
    assert given.spec.split_unit == "folder"


def test_a_column_of_groups_is_heeded_unasked(table):
    data = table({"label": WORDS, "group": [f"p{i // 4}" for i in range(COUNT)]})
    data.setup()
    owners = [set(data.table.groups[rows].tolist()) for rows in data.indices.values()]
    assert sum(map(len, owners)) == 10
    assert data.spec.split_unit == "group"
    without = table({"label": WORDS, "group": [f"p{i // 4}" for i in range(COUNT)]}, group=None)
    without.setup()
    assert without.spec.split_unit == "sample"


def test_another_split_has_other_members_and_the_same_fingerprint(table):
    words = ["train"] * 28 + ["val"] * 4 + ["test"] * 8
    one = table({"label": WORDS, "split": words})
    one.setup()
    other = table({"label": WORDS, "split": [*words[4:], *words[:4]]})
    other.setup()
    assert one.spec.fingerprint == other.spec.fingerprint
    found = [members(data.table, data.indices) for data in (one, other)]
    assert not any(found[0][split] == found[1][split] for split in ("train", "val", "test"))


def test_val_is_taken_by_whole_groups_where_the_split_lacks_it(table):
    patients = [f"p{i // 4}" for i in range(COUNT)]
    data = table({"label": WORDS, "group": patients, "split": ["train"] * 32 + ["test"] * 8})
    data.setup()
    owners = [set(data.table.groups[rows].tolist()) for rows in data.indices.values()]
    assert list(data.indices) == ["train", "val", "test"]
    assert sum(map(len, owners)) == 10


def test_paths_count_from_the_root(table, photos):
    data = table({"label": WORDS, "path": [f"{i:02d}.png" for i in range(COUNT)]}, root=str(photos / "photos"))
    data.setup()
    assert data.table.names[3] == "03.png"
    moved = table({"label": WORDS, "path": [f"{i:02d}.png" for i in range(COUNT)]}, root=str(photos / "photos"))
    moved.setup()
    assert moved.spec == data.spec


def test_labels_values_and_names_make_the_fingerprint(table):
    prints = set()
    for values in (VALUES, VALUES + 1, VALUES):
        data = table({"label": values})
        data.setup()
        prints.add(data.spec.fingerprint)
    assert len(prints) == 2


def test_rows_without_a_file_are_left_out_where_asked(table, photos):
    columns = {"label": [*WORDS, "dog"], "weight": np.arange(COUNT + 1), "group": range(COUNT + 1)}
    with pytest.raises(DataError, match=r"a file for every row of .* but 1 of 41 are missing, first .*40.png; set"):
        table(columns, rows=COUNT + 1).load()
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in photos.rglob("*.png")}
    data = table(columns, rows=COUNT + 1, on_bad_file="skip")
    data.setup()
    assert data.bad_files == [("photos/40.png", "there is no such file")]
    assert data.table.names.tolist() == [f"photos/{i:02d}.png" for i in range(COUNT)]
    assert data.table.weights.tolist() == list(range(COUNT))
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in photos.rglob("*.png")} == before


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"lable": WORDS}, {}, "a column 'label' in .* but there is none. Did you mean 'lable'"),
        ({"label": WORDS}, {"path": "file"}, "a column 'file' in"),
        ({"label": WORDS}, {"group": "patient"}, "a column 'patient' in"),
        ({"label": WORDS, "path": ["photos/00.png"] * COUNT}, {}, "every image once in .* but got photos/00.png 40"),
        ({"label": WORDS, "path": ["", *["x"] * 39]}, {}, "a path in column 'path' of .* but row 1 has an empty cell"),
        ({"label": WORDS, "split": ["train"] * 39 + ["tset"]}, {}, "row 40 has 'tset'. Did you mean 'test'"),
        ({"label": WORDS, "split": ["test"] * 40}, {}, "Expected a folder train"),
        ({"label": WORDS, "weight": [1] * 39 + [-1]}, {}, "a number of at least 0 in column 'weight' of .* row 40"),
        ({"label": WORDS, "weight": ["x"] * 40}, {}, "but row 1 has 'x'"),
        ({"label": WORDS, "group": ["a"] * 39 + [""]}, {}, "a group in column 'group' of .* row 40 has an empty cell"),
        (
            {"label": WORDS, "group": [i // 2 for i in range(40)], "split": ["train"] * 31 + ["test"] * 9},
            {},
            r"every group in one split but that of photos/31.png \(test\) is in train too",
        ),
        ({"label": WORDS, "split": ["train", "test"] * 20}, {"split": Split()}, r"use data.split.by=folder"),
        ({"label": ["cat"] * COUNT}, {}, "at least two classes but got cat"),
        ({"label": ["cat"] * 39 + ["dog"]}, {}, "at least two images of every class"),
        ({"a": [1] * COUNT, "b": [0] * COUNT}, {"labels": ["a", "b"]}, "every class in train but got none of b"),
        ({"label": [1.5] * COUNT}, {}, "Expected 'label' to vary"),
        (
            {"label": VALUES},
            {"sampler": "balanced"},
            r"data.sampler=shuffled where the targets are no classes but value",
        ),
        (
            {"label": WORDS},
            {"target": "ordinal", "classes": ["eel", "cat", "dog"], "mixup": 0.2},
            r"data.mixup=0 and data.cutmix=0",
        ),
    ],
)
def test_a_broken_table_is_one_sentence(table, columns, options, message):
    with pytest.raises(DataError, match=message) as caught:
        table(columns, **options).setup()
    assert "\n" not in str(caught.value)

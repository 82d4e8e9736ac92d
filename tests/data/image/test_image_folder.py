import logging

import numpy as np
import pytest
from PIL import Image

from tunesmith.data.image.image_folder import ImageFolder
from tunesmith.data.split.split import Split
from tunesmith.errors import DataError
from tunesmith.modality.image import ImagePreprocess


def lay(root, *folders, count=8, suffix="png"):
    for k, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = np.random.default_rng([k, i]).integers(0, 256, (9, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{i}.{suffix}")
    return root


def data(root, **arguments):
    return ImageFolder(root=str(root), **{"split": Split(by="auto")} | arguments)


def test_one_folder_a_class_to_any_depth(tmp_path):
    table = data(lay(tmp_path, "cat", "dog/inside/deep", "dog")).load()
    assert table.class_names == ("cat", "dog")
    assert np.bincount(table.targets).tolist() == [8, 16]
    assert "dog/inside/deep/3.png" in table.names.tolist()
    assert table.folders is None
    assert table.channels == 3


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_predefined_splits(tmp_path, val):
    root = lay(tmp_path, *(f"{split}/{label}" for split in ("train", val, "test") for label in ("cat", "dog")))
    module = data(root)
    module.setup("fit")
    assert {s: sum(n.values()) for s, n in module.counts().items()} == {"train": 16, "val": 16, "test": 16}
    assert module.spec.split_unit == "folder"
    assert all(name.startswith("test/") for name in module.table.names[module.indices["test"]])
    with pytest.raises(DataError, match=r"use data.split.by=folder"):
        data(root, split=Split()).setup()


def test_a_class_may_be_called_train(tmp_path):
    table = data(lay(tmp_path, "bus", "train")).load()
    assert table.class_names == ("bus", "train")
    assert table.folders is None


def test_a_run_from_files_to_a_batch_in_grey_and_in_colour(tmp_path):
    lay(tmp_path, "cat", "dog")
    for channels in (1, 3):
        module = data(tmp_path, channels=channels, split=Split(val=0), augment="rotations")
        module.connect(ImagePreprocess(size=8))
        module.setup()
        batch = next(iter(module.train_dataloader()))
        assert batch["input"].shape == (12, channels, 8, 8)
        assert module.on_after_batch_transfer(batch, 0)["input"].shape == (12, 3, 8, 8)


def test_the_home_folder(tmp_path, monkeypatch):
    lay(tmp_path / "pets", "cat", "dog")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(data("~/pets").load()) == 16


def test_the_fingerprint_moves_with_the_folder(tmp_path):
    prints = []
    for place in ("a", "b"):
        module = data(lay(tmp_path / place, "cat", "dog"))
        module.setup()
        prints.append(module.spec.fingerprint)
    assert prints[0] == prints[1]


def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path, caplog):
    lay(tmp_path, "cat", "dog")
    for name in ("cat/notes.txt", "dog/b.txt", "dog/README", "dog/.DS_Store", ".git/x/y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with caplog.at_level(logging.WARNING):
        assert len(data(tmp_path).load()) == 16
    assert caplog.messages == ["Skipped 3 non-image files: 1 without suffix, 2 .txt."]


def test_upper_case_suffixes_count(tmp_path):
    lay(tmp_path, "cat", "dog", suffix="JPG")
    assert len(data(tmp_path).load()) == 16


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(DataError, match=r"Expected data.root to be a folder but got .*nowhere"):
        data(tmp_path / "nowhere").load()
    with pytest.raises(DataError, match="but got no folders"):
        data(tmp_path).load()
    lay(tmp_path / "one", "cat")
    with pytest.raises(DataError, match=r"Expected a folder per class in .* but got cat"):
        data(tmp_path / "one").load()
    lay(tmp_path / "two", "cat", "dog")
    (tmp_path / "two" / "eel").mkdir()
    with pytest.raises(DataError, match="but got none in eel"):
        data(tmp_path / "two").load()
    lay(tmp_path / "three", "train/cat", "train/dog", "test/cat", "test/dog", "test/eel")
    with pytest.raises(DataError, match="every class in train but got none of eel"):
        data(tmp_path / "three", split=Split(by="folder", val=0)).setup()
    lay(tmp_path / "four", "train/cat", "train/dog", "val/cat", "valid/dog")
    with pytest.raises(DataError, match=r"one folder for val in .* but got val and valid"):
        data(tmp_path / "four").load()

from pathlib import Path

import pytest

from tunesmith.data.split.split_file import files_of, folders_of, split_of
from tunesmith.errors import DataError


def test_names_of_splits():
    names = {
        "train-v1.1.json": "train",
        "eng.testa": "val",
        "dev.conll": "val",
        "my_test.txt": "test",
        "notes.md": None,
    }
    assert {name: split_of(Path(name)) for name in names} == names


def test_the_files_of_a_folder(tmp_path):
    for name in ("train.txt", "valid.txt", "notes.md"):
        (tmp_path / name).touch()
    files = files_of(tmp_path, "words")
    assert [file.name for file in files] == ["train.txt", "valid.txt"]
    assert folders_of(files, [(files[1], None), (files[0], None)], ["a", "b"]).tolist() == ["val", "train"]
    assert files_of(files[0], "words") == [files[0]]
    assert folders_of(files[:1], [(files[0], None)], ["a"]) is None
    assert folders_of(files[:1], [(files[0], "Valid")], ["a"]).tolist() == ["val"]
    with pytest.raises(DataError, match=r"train, val or test as the split of a but got 'trian'. Did you mean 'train'"):
        folders_of(files[:1], [(files[0], "trian")], ["a"])


def test_a_folder_without_a_split_and_folders_in_it(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match="a file of words, or a folder with one called train"):
        files_of(tmp_path, "words")


def test_the_first_word_that_names_a_split_counts():
    assert split_of(Path("train_test.txt")) == "train" and split_of(Path("TEST.TXT")) == "test"
    assert split_of(Path("validation-x.json")) == "val" and split_of(Path("trainset.json")) is None


def test_words_of_some_samples_alone_are_refused(tmp_path):
    file = tmp_path / "x.txt"
    found = [(file, "train"), (file, None)]
    with pytest.raises(DataError, match="train, val or test as the split of b but got 'None'"):
        folders_of([file], found, ["a", "b"])
    assert folders_of([file], [(file, "train"), (file, "TEST")], ["a", "b"]).tolist() == ["train", "test"]

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

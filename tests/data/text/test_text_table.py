from __future__ import annotations

import json

import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.tabular.reading import MAX_CHARACTERS
from tunesmith.data.text.text_table import TextTable
from tunesmith.errors import DataError


@pytest.fixture
def table(tmp_path):
    def make(rows, **options):
        file = tmp_path / "t.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        return TextTable(file=str(file), split=Split(by="auto"), **options).load()

    return make


ROWS = [{"text": "good", "label": "a", "author": "x"}, {"text": "bad", "label": "b", "author": "y"}]


def test_texts_and_what_is_said_of_them(table):
    found = table(ROWS, group="author")
    assert list(found.samples) == [("good",), ("bad",)]
    assert (found.targets.tolist(), found.class_names, found.names.tolist()) == ([0, 1], ("a", "b"), ["row 1", "row 2"])
    assert (found.modality, found.what, found.groups.tolist(), found.group_unit) == ("text", "texts", [0, 1], "author")


def test_pairs_labels_and_values(table):
    rows = [row | {"other": "so", "label": labels} for row, labels in zip(ROWS, (["p", "q"], ["p"]), strict=True)]
    found = table(rows, second="other", separator=";")
    assert (found.kind, found.samples[0], found.targets.tolist()) == ("multilabel", ("good", "so"), [[1, 1], [1, 0]])
    found = table([row | {"label": i / 2} for i, row in enumerate(ROWS)])
    assert (found.kind, found.targets.tolist()) == ("value", [[0], [0.5]])


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        (
            [*ROWS, {"text": " ", "label": "a"}],
            {},
            "Expected a text in column 'text' of .* but row 3 has an empty cell",
        ),
        (ROWS, {"text": "body"}, "Expected a column 'body' in .* but there is none"),
        (ROWS, {"second": "textt"}, "Expected a column 'textt' in .* there is none. Did you mean 'text'"),
        (ROWS, {"classes": ["a", "c"]}, "to hold only data.classes but row 2 has 'b'"),
        ([*ROWS, {"text": "x" * 10_000_000, "label": "a"}], {}, "at most 1,000,000 characters .* row 3 has 10,000,000"),
    ],
)
def test_each_mistake_is_one_sentence_with_the_row(table, rows, options, sentence):
    with pytest.raises(DataError, match=r"^Expected [^\n]*$") as caught:
        table(rows, **options)
    assert caught.match(sentence.removeprefix("Expected "))
    assert MAX_CHARACTERS == 1_000_000

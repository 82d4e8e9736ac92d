from __future__ import annotations

import json

import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.text.pair_table import PairTable
from tunesmith.errors import DataError
from tunesmith.modality.text import TextPreprocess

WORDS = ["good", "bad", "dull", "fine"]
ROWS = [{"source": " ".join(["the"] * (1 + i % 5)), "target": " ".join(WORDS[: 1 + i % 4])} for i in range(40)]


@pytest.fixture
def pairs(tmp_path, small_text):
    def make(rows=ROWS, model="t5", **options):
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
        own = {"split": Split(by="auto", val=0.2, test=0.2), "batch_size": 8}
        data = PairTable(file=str(tmp_path / "t.jsonl"), **own | options)
        data.connect(TextPreprocess(model, small_text(model), "x", 64, 18, "encoder_decoder"))
        data.setup("fit")
        return data

    return make


def test_groups_and_splits_are_taken_from_their_columns(pairs):
    splits = ["train", "val", "test"]
    rows = [{**row, "split": splits[i // 3 % 3], "group": str(i // 3)} for i, row in enumerate(ROWS)]
    assert pairs(rows).spec.split_unit == "folder" and pairs(rows, split_column=None).spec.group == "group"


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ([*ROWS, {"source": "a", "target": ""}], {}, r"a text in column 'target' of \S+ but row 41"),
        ([*ROWS, {"source": None, "target": "a"}], {}, r"a text in column 'source' of \S+ but row 41"),
        (ROWS, {"target": "summary"}, r"a column 'summary' in \S+ but there is none"),
        (ROWS, {"max_target_length": 1}, r"data.max_target_length to be at least 2 tokens but got 1"),
    ],
)
def test_each_mistake_is_one_sentence(pairs, rows, options, sentence):
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        pairs(rows, **options)

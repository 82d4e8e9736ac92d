from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.data.split.split import Split
from tunesmith.data.text.tagged import find_words, first_tokens, joined
from tunesmith.data.text.token_table import TokenTable
from tunesmith.modality.text import TextPreprocess

SENTENCES = "good B-X\nfilm I-X\nis O\n\nbad B-Y\n\nthe O\nfilm B-X\n"


def test_a_batch_has_a_tag_for_the_first_token_of_each_word(tmp_path, small_text):
    (tmp_path / "t.conll").write_text(SENTENCES)
    data = TokenTable(file=str(tmp_path / "t.conll"), split=Split(by="random", val=0, test=0), batch_size=3)
    data.connect(TextPreprocess("bert", small_text("bert"), "x", 64, 18))
    data.setup("fit")
    assert data.counts() == {"train": {"B-X": 2, "B-Y": 1, "I-X": 1, "O": 2}}
    assert data.spec.target == "tags" and data.spec.train_counts == (2, 1, 1, 2)
    batch = data.plain(data.indices["train"]).collate([data.plain(data.indices["train"])[i] for i in range(3)])
    no = IGNORED
    assert batch["target"]["tokens"].tolist() == [[no, 0, 2, 3, no], [no, 1, no, no, no], [no, 3, 0, no, no]]
    assert batch["target"]["starts"].tolist() == [[1, 2, 3], [1, no, no], [1, 2, no]]
    assert batch["target"]["words"].tolist() == [[0, 2, 3], [1, no, no], [3, 0, no]]
    assert batch["input"]["input_ids"].shape == (3, 5)
    assert data.plain(data.indices["train"]).shown(0) == "good film is"


def test_words_that_are_cut_are_counted_and_no_part_of_the_target(tmp_path, small_text, caplog):
    (tmp_path / "t.conll").write_text(SENTENCES)
    data = TokenTable(file=str(tmp_path / "t.conll"), split=Split(by="random", val=0, test=0), max_length=3)
    data.connect(TextPreprocess("bert", small_text("bert"), "x", 64, 18))
    with caplog.at_level(logging.WARNING):
        data.setup("fit")
    assert "2 of 3 texts (66.7%) are longer than 3 tokens and are cut, first t.conll:1" in caplog.text
    assert "3 of 6 words are cut off: they count as not found" in caplog.text
    assert data.spec.truncated == 2 / 3
    sample = data.plain(data.indices["train"])[0]
    assert sample["target"]["starts"].tolist() == [1, -1, -1] and sample["target"]["tokens"].tolist() == [
        IGNORED,
        0,
        IGNORED,
    ]


def test_texts_that_are_predicted_are_split_into_words(tmp_path, small_text):
    (tmp_path / "t.conll").write_text(SENTENCES)
    data = TokenTable(file=str(tmp_path / "t.conll"), split=Split(by="random", val=0, test=0))
    data.connect(TextPreprocess("bert", small_text("bert"), "x", 64, 18))
    data.setup("fit")
    data.predict_on([("good film, bad",), ("so",)], data.spec)
    (batch,) = data.predict_dataloader()
    assert data.places == [[(0, 4), (5, 9), (9, 10), (11, 14)], [(0, 2)]]
    assert batch["target"]["starts"].tolist() == [[1, 2, 3, 4], [1, IGNORED, IGNORED, IGNORED]]
    assert torch.equal(batch["index"], torch.tensor([0, 1]))


@pytest.mark.parametrize("model", ["roberta", "gpt2", "t5", "deberta-v2"])
def test_every_family_finds_the_words(tmp_path, small_text, model):
    (tmp_path / "t.conll").write_text(SENTENCES)
    data = TokenTable(file=str(tmp_path / "t.conll"), split=Split(by="random", val=0, test=0))
    data.connect(TextPreprocess(model, small_text(model), "x", 64, 18))
    data.setup("fit")
    assert [data.plain(data.indices["train"])[i]["target"]["starts"].tolist() for i in range(3)] == [
        [1, 2, 3],
        [1],
        [1, 2],
    ]


def test_words_and_marks():
    text = "  Anna lebt in Köln-Mülheim."
    assert [text[a:b] for a, b in find_words(text)] == ["Anna", "lebt", "in", "Köln", "-", "Mülheim", "."]


def test_words_are_joined_by_blanks():
    text, places = joined(("New York", "is", "big"))
    assert text == "New York is big"
    assert [text[a:b] for a, b in places] == ["New York", "is", "big"]


def test_a_word_begins_with_the_first_token_that_reaches_into_it():
    _, places = joined(("un", "happy", "☺", "man"))  # 0-2, 3-8, 9-10, 11-14
    marks = (0, 0)
    pieces = [marks, (0, 2), (3, 5), (5, 8), (9, 10), (9, 10), (11, 14), marks]
    assert first_tokens(places, np.array(pieces)).tolist() == [1, 2, 4, 6]
    with_blanks = [(0, 2), (2, 5), (5, 8), (8, 9), (9, 10), (10, 14)]
    assert first_tokens(places, np.array(with_blanks)).tolist() == [0, 1, 4, 5]


def test_a_word_that_was_cut_or_that_no_token_is_of_has_none():
    _, places = joined(("un", "happy", "☺", "man"))
    assert first_tokens(places, np.array([(0, 0), (0, 2), (3, 8), (0, 0)])).tolist() == [1, 2, -1, -1]
    assert first_tokens(places, np.array([(0, 2), (3, 8), (11, 14)])).tolist() == [0, 1, -1, 2]
    assert first_tokens(places, np.array([(0, 8), (9, 14)])).tolist() == [0, -1, 1, -1]  # one token of two words
    assert first_tokens(places, np.zeros((2, 2), np.int64)).tolist() == [-1] * 4

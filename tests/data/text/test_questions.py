from __future__ import annotations

import logging

import numpy as np
import pytest

from tunesmith.data.split.split import Split
from tunesmith.data.table import Table
from tunesmith.data.text.questions import QuestionData, span_of
from tunesmith.errors import DataError
from tunesmith.modality.text import TextPreprocess

LONG = "the film is so very good, bold film, not a dull or poor film; fine"  # 18 words and marks


class Asked(QuestionData):
    """Six questions on two texts, which are asked of in groups; the last two have no answer."""

    def load(self):
        answers = [(("good", 20),), (("poor film", LONG.index("poor")),), (("fine", LONG.index("fine")),)]
        samples = [("is good", LONG), ("not", LONG), ("so", LONG), ("is", "good film"), ("is", "bad"), ("so", "bad")]
        targets = [*answers, (("good film", 0), ("good", 0)), (), ()]
        names = np.array([f"q{i}" for i in range(6)])
        groups = np.array([0, 0, 0, 1, 2, 2])
        return Table(samples, targets, ("answer", "no answer"), names, modality="text", kind="span", groups=groups)


@pytest.fixture
def asked(small_text):
    def make(model="bert", **options):
        options = {
            "split": Split(by="random", val=0, test=0),
            "stride": 2,
            "max_question": 3,
            "batch_size": 4,
        } | options
        data = Asked(**{"max_length": 14} | options)
        data.connect(TextPreprocess(model, small_text(model), "x", 64, 18))
        data.setup("fit")
        return data

    return make


def test_a_long_text_is_read_in_windows_and_each_says_where_the_answer_is(asked):
    data = asked()
    assert data.table.names.tolist()[:4] == ["q0", "q0#2", "q0#3", "q1"]
    assert data.counts() == {"train": {"answer": 4, "no answer": 2}}
    assert data.spec.train_counts == (4, 2) and data.spec.target == "span"
    dataset = data.plain(data.indices["train"])
    found = {}
    for i in range(len(dataset)):
        sample = dataset[i]
        first, last = sample["target"].tolist()
        begin, end = int(sample["target"]["begins"][first]), int(sample["target"]["ends"][last])
        if begin >= 0:
            found.setdefault(sample["target"]["question"], set()).add(sample["meta"]["context"][begin:end])
        assert sample["input"].shape[1] <= 14 and len(sample["target"]["begins"]) == sample["input"].shape[1]
        assert (sample["target"]["begins"] >= 0).sum() >= 1
    assert found == {0: {"good"}, 1: {"poor film"}, 2: {"fine"}, 3: {"good film"}}
    # Every character of the text stands in a window, and neighbours share two tokens.
    parts = [dataset[i] for i in range(len(dataset)) if dataset[i]["target"]["question"] == 0]
    seen = [{b for b in part["target"]["begins"].tolist() if b >= 0} for part in parts]
    assert len(parts) == 3 and len(seen[0] & seen[1]) == 2 == len(seen[1] & seen[2])
    assert len(set.union(*seen)) == 18


def test_windows_of_a_question_stay_in_one_split_and_so_do_those_of_a_group(asked):
    data = asked(split=Split(by="group", val=0, test=0.4))
    names = {
        split: {str(name).partition("#")[0] for name in data.table.names[rows]} for split, rows in data.indices.items()
    }
    assert sum(map(len, names.values())) == 6 and not names["train"] & names["test"]
    assert sum(len(rows) for rows in data.indices.values()) == len(data.table) > 6
    data.setup("fit")
    assert sum(map(len, (data.digests[0], data.table.names))) == 2 * len(data.table)


def test_what_the_cache_goes_by_is_of_the_window_and_of_the_stride(asked):
    data, other = asked(), asked(stride=3)
    assert len(set(data.digests[0])) == len(data.table)
    assert data.digests[0][1] != other.digests[0][1]


def test_a_batch_holds_what_is_needed_to_say_an_answer(asked):
    data = asked(group_by_length=False)
    (batch, *_) = data.train_dataloader()
    assert batch["target"]["span"].shape == (4, 2) and batch["target"]["question"].shape == (4,)
    assert batch["target"]["begins"].shape == batch["target"]["ends"].shape == batch["input"]["input_ids"].shape
    assert all(isinstance(text, str) for text in batch["meta"]["context"]) and isinstance(
        batch["meta"]["answers"][0], tuple
    )
    assert ((batch["target"]["begins"] >= 0) <= (batch["input"]["attention_mask"] == 1)).all()


def test_long_questions_are_cut_and_said(asked, caplog):
    with caplog.at_level(logging.WARNING):
        data = asked(max_question=1)
    assert "1 of 6 texts" in caplog.text and "It is the questions that are cut, at 1 tokens" in caplog.text
    whole, cut = (made.plain(np.arange(1)).input(0)[0].tolist() for made in (asked(), data))
    assert cut[:4] == [*whole[:2], 3, whole[4]]


def test_questions_that_are_predicted(asked):
    data = asked()
    data.predict_on([("is", LONG), ("so", "bad")], data.spec)
    batches = list(data.predict_dataloader())
    assert [number for batch in batches for number in batch["target"]["question"].tolist()] == [0, 0, 1]
    assert [number for batch in batches for number in batch["index"].tolist()] == [0, 1, 2]


@pytest.mark.parametrize("model", ["roberta", "gpt2", "t5"])
def test_other_families(asked, model):
    data = asked(model)
    sample = data.plain(np.arange(len(data.table)))[0]
    first, last = sample["target"].tolist()
    assert sample["meta"]["context"][sample["target"]["begins"][first] : sample["target"]["ends"][last]] == "good"


def test_a_span_in_tokens():
    places = np.array([(-1, -1), (0, 4), (5, 8), (8, 9), (10, 14), (-1, -1)])
    assert span_of([("bad!", 5)], places) == [2, 3]
    assert span_of([("ba", 5)], places) == [2, 2]
    assert span_of([("good bad! film", 0)], places) == [1, 4]
    assert span_of([("!", 8)], places) == [3, 3]
    assert span_of([("film so", 10)], places) == span_of([], places) == [0, 0]
    assert span_of([("x", 0)], np.array([(-1, -1), (3, 5)])) == [0, 0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stride": 0}, r"data.stride to be at least 1 token but got 0"),
        ({"max_question": 0}, r"data.max_question to be at least 1 token but got 0"),
        ({"stride": 9}, r"data.max_length to leave more than data.stride=9 tokens .* up to 3 .* but it is 14"),
    ],
)
def test_mistakes(asked, options, sentence):
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        asked(**options)

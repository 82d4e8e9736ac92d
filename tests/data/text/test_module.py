from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from tunesmith.data.split.split import Split
from tunesmith.data.table import Table
from tunesmith.data.text.module import TextData
from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.image import ImagePreprocess
from tunesmith.modality.text import TextPreprocess


class Words(TextData):
    """Texts of one to eight words."""

    def load(self):
        texts = [(" ".join(["good", "bad"][i % 2] for _ in range(1 + i * 5 % 8)),) for i in range(160)]
        return Table(texts, np.arange(160) % 2, ("a", "b"), np.array([f"t{i}" for i in range(160)]), modality="text")


@pytest.fixture
def words(small_text):
    def make(most=64, **options):
        data = Words(**{"split": Split(val=0.1, test=0.1), "batch_size": 8} | options)
        data.connect(TextPreprocess("bert", small_text("bert"), "x", most, 18))
        data.setup("fit")
        return data

    return make


def epoch(data, number):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return list(loader)


def indices(batches):
    return [batch["index"].tolist() for batch in batches]


def flat(batches):
    return [index for batch in indices(batches) for index in batch]


def padding(batches):
    return sum(int((batch["input"]["attention_mask"] == 0).sum()) for batch in batches)


def test_batches_are_grouped_by_length_by_a_function_of_seed_and_epoch(words):
    data = words()
    first, second = epoch(data, 0), epoch(data, 1)
    assert sorted(flat(first)) == sorted(flat(second)) == data.indices["train"].tolist()
    assert indices(first) != indices(second)
    assert indices(epoch(words(), 1)) == indices(second)
    assert indices(epoch(words(seed=1), 1)) != indices(second)
    ungrouped = epoch(words(group_by_length=False), 0)
    assert padding(first) < 0.3 * padding(ungrouped)
    lengths = [batch["input"]["input_ids"].shape[1] for batch in first]
    assert lengths != sorted(lengths) and lengths != sorted(lengths, reverse=True)


def test_a_run_that_goes_on_gets_the_rest_of_the_epoch(words):
    data, whole = words(), indices(epoch(words(), 2))
    data.start_at(2, 3)
    assert indices(data.train_dataloader()) == whole[3:]


def test_balanced_epochs_are_grouped_too(words):
    data = words(sampler="balanced")
    assert padding(epoch(data, 0)) < 0.3 * padding(epoch(words(sampler="balanced", group_by_length=False), 0))


def test_two_processes_see_what_one_with_doubled_batches_sees(words, monkeypatch):
    alone = indices(epoch(words(batch_size=16), 0))
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    both = []
    for rank in (0, 1):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        both.append(indices(epoch(words(batch_size=8), 0)))
    assert [sorted(a + b) for a, b in zip(*both, strict=True)] == [sorted(batch) for batch in alone]


def test_evaluation_is_in_order_and_what_is_published(words):
    data = words()
    assert flat(data.test_dataloader()) == data.indices["test"].tolist()
    assert (data.spec.input, data.spec.channels, data.spec.truncated) == ("text", 0, 0)
    assert data.test_dataloader().dataset.shown(0) == data.table.samples[data.indices["test"][0]][0]


def test_the_share_of_cut_texts_is_said_and_published(words, caplog):
    with caplog.at_level(logging.WARNING):
        data = words(max_length=7)
    assert data.spec.truncated == 3 / 8
    assert "60 of 160 texts (37.5%) are longer than 7 tokens and are cut, first t1" in caplog.text
    assert max(batch["input"]["input_ids"].shape[1] for batch in epoch(data, 0)) == 7
    assert words(most=5).preprocess.max_length == 5


def test_prediction_gives_the_tokens_of_evaluation(words):
    data = words()
    rows = data.indices["test"]
    data.predict_on([data.table.samples[row] for row in rows], data.spec)
    for one, other in zip(data.test_dataloader(), data.predict_dataloader(), strict=True):
        assert torch.equal(one["input"]["input_ids"], other["input"]["input_ids"])
    with pytest.raises(DataError, match="at least one image or text to predict on"):
        data.predict_on([], data.spec)


def test_rows_that_are_computed_together_are_as_long_as_each_other(words):
    data = words()
    rows = data.length_sorted(np.arange(150), 16)
    assert sorted(rows.tolist()) == list(range(150))
    lengths = [data.plain(rows).input(i).shape[1] for i in range(150)]
    assert np.mean([np.ptp(lengths[i : i + 16]) for i in range(0, 144, 16)]) < 1


def test_pieces_make_up_the_batches_that_were_asked_for_and_the_longest_texts_are_known(words):
    data, whole = words(), flat(epoch(words(), 0))
    data.batch_size = 4
    assert flat(epoch(data, 0)) == whole
    longest = [data.plain(data.largest(data.indices["train"], 4)).input(i).shape[1] for i in range(4)]
    assert longest == [10] * 4


def test_inputs_of_one_shape(words):
    data = words()
    few = [data.plain(np.arange(4)).input(i) for i in range(2)]
    assert data.prepare(few, torch.device("cpu"))["input_ids"].shape == (2, 8)
    assert data.prepare(few, torch.device("cpu"), alike=True)["input_ids"].shape == (2, 10)


def test_mistakes(words):
    with pytest.raises(DataError, match=r"data.max_length to be at least 1"):
        words(max_length=0)
    with pytest.raises(ConfigError, match=r"^Expected a backbone for texts but got one for images; use backbone=tra"):
        Words(split=Split()).connect(ImagePreprocess())

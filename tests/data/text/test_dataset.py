from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.data.sampler import Key
from tunesmith.data.text.dataset import Encoded, TextDataset
from tunesmith.data.text.language import Hiding
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.data.text.unlabelled import Unlabelled
from tunesmith.modality.text import TextPreprocess

TEXTS = [("good film",), ("a very dull film",), ("dull",)]


@pytest.fixture
def dataset(small_text):
    def make(hiding=False, targets=None, **meta):
        tokenizer = Tokenizer(TextPreprocess("bert", small_text("bert"), "x", 64, 18))
        tokens, cut = tokenizer(TEXTS)
        hidden = Hiding.of(tokenizer, 0.5, 0) if hiding else None
        encoded = Encoded(tokens, np.array([0, 1, 1]) if targets is None else targets, cut, meta)
        return TextDataset([text for (text,) in TEXTS], encoded, tokenizer, np.array([2, 0, 1]), hiding=hidden)

    return make


def test_a_batch_is_padded_to_its_longest_text(dataset):
    made = dataset()
    batch = made.collate([made[0], made[1]])
    assert [made.shown(i) for i in range(3)] == ["dull", "good film", "a very dull film"]
    assert batch["target"].tolist() == [1, 0] and batch["index"].tolist() == [2, 0]
    assert batch["input"]["input_ids"].shape == (2, 4)
    assert batch["input"]["attention_mask"].sum(dim=1).tolist() == [3, 4]


def test_what_else_there_is_of_each_text_comes_along(dataset):
    words = [torch.tensor([1]), torch.tensor([1, 2]), torch.tensor([1])]
    made = dataset(targets={"words": words, "number": [5, 6, 7]}, title=["a", "b", "c"])
    batch = made.collate([made[1], made[2]])
    assert batch["target"]["words"].tolist() == [[1, -100], [1, 2]] and batch["target"]["number"].tolist() == [5, 6]
    assert batch["meta"] == {"title": ["a", "b"]}


def test_other_words_are_hidden_in_every_epoch_of_training_alone(dataset):
    made = dataset(hiding=True)
    plain = [tuple(made[Key(epoch, 2)]["target"].tolist()) for epoch in range(8)]
    made.anew = True
    drawn = [tuple(made[Key(epoch, 2)]["target"].tolist()) for epoch in range(8)]
    assert len(set(plain)) == 1 < len(set(drawn))


def test_texts_without_labels_come_with_the_keys_that_name_them(dataset):
    made = dataset()
    made.streams = {"a": Unlabelled.of([("good",), ("very dull film",)], made.tokenizer, 0.5, 0, 2)}
    batch = made.collate(
        [made[Key(0, 0, streams={"a": ((0, 1), (0, 0))})], made[Key(0, 1, streams={"a": ((1, 1), (1, 0))})]]
    )
    assert batch["streams"]["a"]["input"]["attention_mask"].sum(dim=1).tolist() == [5, 3, 5, 3]
    assert batch["streams"]["a"]["target"].shape == (4, 5) and batch["input"]["input_ids"].shape == (2, 4)
    assert made.collate([made[0]])["streams"]["a"]["target"].shape == (2, 5)  # of an order that is not ours

from dataclasses import replace

import pytest
import torch

from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.errors import ConfigError
from tunesmith.modality.text import TextPreprocess


@pytest.fixture
def preprocess(small_text):
    return TextPreprocess("bert", small_text("bert"), "x", max_length=6, vocabulary=18)


def test_texts_become_tokens_and_long_ones_are_cut(preprocess):
    found, cut = Tokenizer(preprocess)([("good film",), ("the very good bold film is",), ("The VERY bad film",)])
    ids = [tokens[0].tolist() for tokens in found]
    assert ids[0] == [2, 10, 8, 3]
    assert len(ids[1]) == len(ids[2]) == 6 and ids[1][-1] == 3
    assert cut.tolist() == [1], "the third is just as long as it may be"


def test_pairs(preprocess):
    ((tokens,), cut) = Tokenizer(preprocess)([("good", "bad film")])
    assert tokens.tolist() == [[2, 10, 3, 5, 8, 3], [0, 0, 0, 1, 1, 1]] and not len(cut)


def test_padding_stands_behind_and_is_masked(preprocess):
    tokenizer = Tokenizer(preprocess)
    found, _ = tokenizer([("good film",), ("bad",)])
    batch = tokenizer.pad(found)
    assert batch["input_ids"].tolist() == [[2, 10, 8, 3], [2, 5, 3, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["token_type_ids"].shape == (2, 4) and batch["input_ids"].dtype == torch.int64
    assert tokenizer.pad(found, 6)["input_ids"].shape == (2, 6)


def test_a_model_without_parts_gets_none(preprocess, small_text):
    tokenizer = Tokenizer(replace(preprocess, folder=small_text("gpt2")))
    assert set(tokenizer.pad(tokenizer([("good",)])[0])) == {"input_ids", "attention_mask"}


def test_room_for_the_marks_of_the_ends_is_asked_for(preprocess):
    tokenizer = Tokenizer(replace(preprocess, max_length=2))
    with pytest.raises(ConfigError, match=r"^Expected data.max_length above 2, since 2 tokens mark the ends of a text"):
        tokenizer([("good film",)])
    with pytest.raises(ConfigError, match=r"above 2"):
        tokenizer.located(["good film"])
    with pytest.raises(ConfigError, match=r"^Expected data.max_length above 3, .* of a pair, but got 3"):
        Tokenizer(replace(preprocess, max_length=3))([("good", "film")])
    assert Tokenizer(replace(preprocess, max_length=3))([("good film",)])[0][0].shape == (2, 3)


def test_mistakes(preprocess, tmp_path):
    with pytest.raises(ConfigError, match=r"at most 3 tokens, as the backbone knows, but the one of bert has 17"):
        Tokenizer(replace(preprocess, vocabulary=3))
    with pytest.raises(ConfigError, match=r"^Expected a tokenizer in \S+ but it cannot be read"):
        Tokenizer(replace(preprocess, folder=str(tmp_path)))

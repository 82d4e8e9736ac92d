from __future__ import annotations

import json
import logging

import pytest
import torch

from tunesmith.cache.store import Store
from tunesmith.cache.tokens import TokenCache
from tunesmith.data.ragged import Ragged
from tunesmith.data.text.pair_data import PairTokenizer
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.modality.text import TextPreprocess
from tunesmith.run.train import train

TEXTS = [("good film",), ("the very good bold film is",), ("bad",)]


@pytest.fixture(autouse=True)
def everything_is_long(monkeypatch):
    monkeypatch.setattr("tunesmith.cache.tokens.AT_ONCE", 0)


@pytest.fixture
def tokenizer(small_text, tmp_path):
    """A tokenizer that keeps its tokens; ``made`` lists what it made anew."""

    def make(kind=Tokenizer, *more, mode="auto", max_bytes=10**9, max_length=6, digest="x"):
        found = kind(TextPreprocess("bert", small_text("bert"), digest, max_length, vocabulary=18), *more)
        cache = TokenCache(Store(tmp_path / "store"), mode, max_bytes)
        found.made = []

        def keep(tokenizer, how, texts, anew):
            return cache(tokenizer, how, texts, lambda: found.made.append(how) or anew())

        found.keep, found.cache = keep, cache
        return found

    return make


def same(ours, theirs):
    if isinstance(ours, tuple | list | Ragged):
        return len(ours) == len(theirs) and all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    return type(ours) is type(theirs) and ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist()


ASKED = {
    "texts": lambda t: t(TEXTS),
    "none is cut": lambda t: t(TEXTS[:1]),
    "pairs": lambda t: t([("good", "bad film"), ("the film", "is very very good")]),
    "places": lambda t: t.located([text for (text,) in TEXTS]),
    "windows": lambda t: t.windows(["good", "bad"], ["the very good bold film is", "film"], 1),
    "whole": lambda t: tuple(torch.tensor(part) for part in t.unmarked("the very good bold film is")),
    "nothing": lambda t: tuple(torch.tensor(part) for part in t.unmarked("")),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_kept_is_what_was_made(tokenizer, asked):
    plain, first, second = tokenizer(), tokenizer(), tokenizer()
    plain.keep = None
    for found in (first, second):
        assert same(ASKED[asked](found), ASKED[asked](plain))
    assert len(first.made) == 1 and not second.made


def test_of_pairs_what_is_written_is_kept_too(tokenizer):
    pairs = [("good film", "bad"), ("the", "very good bold film is")]
    found = [tokenizer(PairTokenizer, 4) for _ in range(3)]
    found[0].keep = None
    told = [(own(pairs), own.cut) for own in found]
    assert all(same(tokens, told[0][0]) and cut == [1] for tokens, cut in told)
    assert len(found[1].made) == 2 and not found[2].made
    assert len(tokenizer(PairTokenizer, 5)(pairs)[0]) == 2


def test_another_anything_is_made_anew(tokenizer):
    tokenizer()(TEXTS)
    for change in ({"max_length": 5}, {"digest": "y"}):
        other = tokenizer(**change)
        other(TEXTS)
        assert other.made
    for texts in (TEXTS[::-1], [*TEXTS, ("a",)], [("go",), ("od film",), *TEXTS[1:]]):
        other = tokenizer()
        other(texts)
        assert other.made
    again = tokenizer()
    again(TEXTS)
    assert not again.made


def test_modes(tokenizer, tmp_path):
    for mode, files in (("off", 0), ("read_only", 0), ("auto", 1), ("refresh", 1)):
        found = tokenizer(mode=mode)
        found(TEXTS)
        assert len(list(tmp_path.rglob("*.safetensors"))) == files
    assert found.made, "refresh makes them anew"
    found = tokenizer(mode="read_only")
    found(TEXTS)
    assert not found.made and found.cache.said == ["Reused the tokens of 3 texts from the cache."]


def test_what_is_quick_or_does_not_fit_is_not_kept(tokenizer, tmp_path, monkeypatch):
    full = tokenizer(max_bytes=10)
    full(TEXTS)
    assert "do not fit" in full.cache.said[0]
    monkeypatch.setattr("tunesmith.cache.tokens.AT_ONCE", 60)
    tokenizer()(TEXTS)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_damaged_file_is_made_anew(tokenizer, tmp_path, caplog):
    tokenizer()(TEXTS)
    (file,) = tmp_path.rglob("*.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = tokenizer()
    with caplog.at_level(logging.WARNING):
        assert same(found(TEXTS), tokenizer(mode="off")(TEXTS))
    assert found.made and "damaged" in caplog.text
    healed = tokenizer()
    healed(TEXTS)
    assert not healed.made


def test_a_folder_that_cannot_be_written_to_only_costs_time(tokenizer, tmp_path, caplog):
    (tmp_path / "store").write_text("a file")
    found = tokenizer()
    assert len(found(TEXTS)[0]) == 3 and "the tokens of 3 texts are not cached" in caplog.text


def test_a_second_run_finds_them_and_ends_the_same(quick, small_text, texts, tmp_path):
    model = ["backbone=transformers", f"backbone.name={small_text('bert')}", "backbone.weights=null"]
    words = ["data=text_table", f"data.file={texts}", *model]
    records = []
    for _ in range(2):
        folder = train(quick(*words, f"paths.cache={tmp_path}/kept")).folder
        records.append(json.loads((folder / "run.json").read_text()))
    said = [" ".join(record["cache"]["said"]) for record in records]
    assert "Cached the tokens" in said[0] and "Reused the tokens" in said[1]
    first, second = ({k: v for k, v in r["metrics"].items() if "per_second" not in k} for r in records)
    assert first == second

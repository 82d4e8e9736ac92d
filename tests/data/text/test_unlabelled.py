from __future__ import annotations

import logging

import pandas as pd
import pytest
import torch

from tunesmith.data.split.split import Split
from tunesmith.data.text.text_table import TextTable
from tunesmith.errors import DataError
from tunesmith.modality.text import TextPreprocess


@pytest.fixture
def labelled(small_text, texts):
    """The table of texts, with others beside it."""

    def make(model="bert", **options):
        data = TextTable(file=str(texts), **{"split": Split(val=0.1, test=0.1), "batch_size": 8} | options)
        attention = {"bert": "bidirectional", "t5": "encoder_decoder"}.get(model, "causal")
        data.connect(TextPreprocess(model, small_text(model), "x", 64, 64, attention))
        data.setup("fit")
        return data

    return make


@pytest.fixture
def lines(tmp_path):
    """Ten texts of one to four words, a line each, in two files."""
    words = [" ".join(["good", "film", "very", "dull"][: 1 + i % 4]) for i in range(10)]
    (tmp_path / "more").mkdir()
    (tmp_path / "one.txt").write_text("\n\n".join(words[:5]) + "\n")
    (tmp_path / "more" / "two.txt").write_text("\n".join(words[5:]))
    return tmp_path, words


def read_back(data, batch):
    return [data.tokenizer.text(row) for row in batch["streams"]["unlabelled"]["input"]["input_ids"].tolist()]


def test_lines_of_files_go_with_training_batches_and_with_no_others(labelled, lines):
    folder, words = lines
    data = labelled("gpt2", unlabelled=str(folder), unlabelled_per_sample=2)
    batches = list(data.train_dataloader())
    assert {len(batch["streams"]["unlabelled"]["target"]) for batch in batches} == {
        2 * len(b["index"]) for b in batches
    }
    assert sorted({text for batch in batches for text in read_back(data, batch)}) == sorted(set(words))
    assert all("streams" not in batch for batch in [*data.val_dataloader(), *data.test_dataloader()])
    assert data.spec.unlabelled is not None
    assert data.spec == labelled("gpt2", unlabelled=str(folder)).spec
    (folder / "one.txt").write_text("good")
    other = labelled("gpt2", unlabelled=str(folder)).spec
    assert other.unlabelled != data.spec.unlabelled and other.fingerprint == data.spec.fingerprint
    plain = labelled("gpt2")
    assert plain.spec.unlabelled is None and "streams" not in next(iter(plain.train_dataloader()))


def test_a_decoder_is_to_give_the_next_token(labelled, lines):
    data = labelled("gpt2", unlabelled=str(lines[0]))
    batch = next(iter(data.train_dataloader()))["streams"]["unlabelled"]
    ids, target = batch["input"]["input_ids"], batch["target"]
    for row, wanted, mask in zip(ids, target, batch["input"]["attention_mask"], strict=True):
        size = int(mask.sum())
        assert wanted[: size - 1].tolist() == row[1:size].tolist() and set(wanted[size - 1 :].tolist()) == {-100}


def test_an_encoder_is_to_find_words_that_are_other_ones_in_every_turn(labelled, lines):
    data = labelled(unlabelled=str(lines[0]), mlm_probability=0.5)
    loader = data.train_dataloader()
    found = {}
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        for key in loader.sampler:
            ((turn, row),) = key.streams["unlabelled"]
            tokens, target = loader.dataset.streams["unlabelled"](turn, row)
            found.setdefault(row, set()).add(tuple(target.tolist()))
            counts = target != -100
            assert counts.any() and torch.equal(tokens[0][~counts], data._beside.tokens[row][0][~counts])
            assert torch.equal(target[counts], data._beside.tokens[row][0][counts].long())
    assert max(map(len, found.values())) > 1


def test_a_table_and_the_training_texts_themselves(labelled, tmp_path):
    pd.DataFrame({"text": ["good film", "dull"], "label": ["", ""]}).to_csv(tmp_path / "more.csv", index=False)
    data = labelled("gpt2", unlabelled=str(tmp_path / "more.csv"))
    assert {text for b in data.train_dataloader() for text in read_back(data, b)} == {"good film", "dull"}
    own = labelled("gpt2", unlabelled="train")
    texts = [own.table.samples[row][0] for row in own.indices["train"]]
    assert sorted(text for b in own.train_dataloader() for text in read_back(own, b)) == sorted(texts)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_goes_on_gets_the_rest_of_the_epoch(labelled, lines, workers):
    def batches(data):
        return [batch["streams"]["unlabelled"] for batch in data.train_dataloader()]

    options = {"unlabelled": str(lines[0]), "unlabelled_per_sample": 3, "workers": workers}
    data, later = labelled(**options), labelled(**options)
    data.start_at(2, 0), later.start_at(2, 3)
    whole, rest = batches(data), batches(later)
    assert len(rest) == len(whole) - 3
    for one, other in zip(whole[3:], rest, strict=True):
        assert torch.equal(one["target"], other["target"])
        assert torch.equal(one["input"]["input_ids"], other["input"]["input_ids"])


def test_texts_that_are_tested_are_told(labelled, tmp_path, caplog):
    data = labelled(unlabelled="train")
    tested = [data.table.samples[row][0] for row in data.indices["test"]]
    caplog.clear()
    (tmp_path / "a.txt").write_text("quite new\n" + tested[0])
    spec = labelled(unlabelled=str(tmp_path / "a.txt")).spec
    shared = sum(text == tested[0] for text in tested)
    assert f"{shared} of {len(tested)} texts of test are among those without labels" in caplog.text
    assert "of val" not in caplog.text and spec.unlabelled.startswith("2 texts, ")


def test_nothing_is_kept_and_what_is_cut_is_said(labelled, tmp_path, caplog):
    (tmp_path / "a.txt").write_text("good\n" + "film " * 70)
    with caplog.at_level(logging.WARNING):
        data = labelled(unlabelled=str(tmp_path / "a.txt"))
    assert "1 of 2 texts without labels are cut to 64 tokens" in caplog.text
    assert (
        "Unlabelled texts pass through the backbone in every step" in data.uncacheable_reason
        and not labelled().uncacheable_reason
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"unlabelled": "none.txt"}, r"data\.unlabelled to be a \.txt file, or a folder with some, but got none\.txt"),
        ({"unlabelled": "none.csv"}, r"data\.unlabelled to be a table but there is no file none\.csv"),
        ({"unlabelled": "train", "unlabelled_per_sample": 0}, r"unlabelled_per_sample to be at least 1 but"),
        ({"unlabelled": "train", "model": "t5"}, r"no data\.unlabelled with an encoder-decoder"),
    ],
)
def test_each_mistake_is_one_sentence(labelled, options, sentence):
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        labelled(**options)

from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.contract.batch import IGNORED
from tunesmith.data.split.split import Split
from tunesmith.data.text.text_files import TextFiles
from tunesmith.errors import DataError
from tunesmith.modality.text import TextPreprocess

TEXT = "the film is good\nso bad\n\n" * 12


@pytest.fixture
def files(tmp_path, small_text):
    """Writes files, and reads them as a decoder or an encoder wants them."""

    def make(named, model="gpt2", **options):
        for name, text in named.items():
            path = tmp_path / "texts" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        split = Split(by="auto", val=0.25, test=0.25)
        data = TextFiles(file=str(tmp_path / "texts"), **{"split": split, "batch_size": 4, "block_size": 8} | options)
        attention = "causal" if model == "gpt2" else "bidirectional"
        data.connect(TextPreprocess(model, small_text(model), "x", 64, 18, attention))
        data.setup("fit")
        return data

    return make


def test_a_file_is_never_torn_apart(files):
    data = files({f"{i}.txt": TEXT for i in range(8)})
    owners = {split: {data.table.names[row].partition(":")[0] for row in rows} for split, rows in data.indices.items()}
    assert sum(len(own) for own in owners.values()) == len(set().union(*owners.values())) == 8
    assert (data.spec.target, data.spec.group, data.spec.split_unit) == ("tokens", "file", "group")


@pytest.mark.parametrize("pattern", ["{}.txt", "{}/a.txt"])
def test_names_are_the_split(files, pattern):
    data = files({pattern.format(split): TEXT for split in ("train", "valid", "test")})
    for split, rows in data.indices.items():
        assert {str(data.table.names[row])[:3] for row in rows} == {split[:3]}
    assert data.spec.split_unit == "folder"


def test_of_one_file_the_blocks_are_split(files):
    data = files({"a.txt": TEXT})
    assert sorted(data.indices) == ["test", "train", "val"] and data.spec.group is None


def test_a_batch_of_a_decoder(files):
    batch = next(iter(files({"a.txt": TEXT}).train_dataloader()))
    tokens, target = batch["input"]["input_ids"], batch["target"]
    assert torch.equal(target[:, :-1], tokens[:, 1:].masked_fill(batch["input"]["attention_mask"][:, 1:] == 0, IGNORED))


def epoch(data, number):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return sorted(
        (int(row), tuple(tokens.tolist()))
        for batch in loader
        for row, tokens in zip(batch["index"], batch["input"]["input_ids"], strict=True)
    )


def test_an_encoder_finds_other_words_in_every_epoch_and_the_same_in_evaluation(files):
    data = files({"a.txt": TEXT}, model="bert")
    again = files({}, model="bert", workers=1)
    assert epoch(data, 1) == epoch(again, 1) != epoch(data, 2)
    one, other = (
        [b["input"]["input_ids"].tolist() for b in d.val_dataloader()] for d in (data, files({}, model="bert", seed=7))
    )
    assert one == other
    batch = next(iter(data.val_dataloader()))
    assert ((batch["target"] != IGNORED).sum(dim=1) >= 1).all() and (batch["input"]["input_ids"] == 4).any()
    assert data.uncacheable_reason and files({}).uncacheable_reason is None


def test_a_line_is_a_text(files):
    data = files({"a.txt": TEXT}, block_size=None)
    assert len(data.table) == 24 and data.table.names[2] == "a.txt:4"
    assert data.plain(np.array([1])).shown(0) == "so bad"
    assert {tuple(t[0].tolist()) for t in data._tokens} == {(2, 15, 8, 11, 10, 3), (2, 14, 5, 3)}


@pytest.mark.parametrize(
    ("named", "options", "sentence"),
    [
        ({"a.csv": "x"}, {}, r"a \.txt file, or a folder with some, but got"),
        ({"a.txt": TEXT, "b.txt": " \n\n"}, {}, r"text in \S+b\.txt but it is empty"),
        ({"a.txt": b"good\n\xff\n"}, {}, r"\S+a\.txt to be text in UTF-8 but line 2 is not"),
        ({"a.txt": "good\n" + "x" * 101}, {}, r"at most 100 characters in \S+a\.txt but line 2 has 101"),
        ({"a.txt": TEXT}, {"block_size": 65}, r"data\.block_size to be at most the 64 tokens .* but got 65"),
        ({"a.txt": TEXT}, {"block_size": 1}, r"data\.block_size to be null or at least 2 tokens but got 1"),
        ({"a.txt": TEXT}, {"mlm_probability": 0}, r"data\.mlm_probability to be above 0 and at most 1 but got 0"),
    ],
)
def test_each_mistake_is_one_sentence(files, named, options, sentence, monkeypatch):
    monkeypatch.setattr("tunesmith.data.tabular.reading.MAX_CHARACTERS", 100)
    with pytest.raises(DataError, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
        files(named, **options)

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

from tunesmith.contract.batch import IGNORED
from tunesmith.data.split.split import Split
from tunesmith.data.text.pair_table import PairTable
from tunesmith.errors import ConfigError, DataError
from tunesmith.modality.text import TextPreprocess

WORDS = ["good", "bad", "dull", "fine"]
ROWS = [{"source": " ".join(["the"] * (1 + i % 5)), "target": " ".join(WORDS[: 1 + i % 4])} for i in range(40)]


@pytest.fixture
def pairs(tmp_path, small_text):
    def make(rows=ROWS, model="t5", setup=True, **options):
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
        own = {"split": Split(by="auto", val=0.2, test=0.2), "batch_size": 8}
        data = PairTable(file=str(tmp_path / "t.jsonl"), **own | options)
        if not setup:
            return data
        data.connect(TextPreprocess(model, small_text(model), "x", 64, 18, "encoder_decoder"))
        data.setup("fit")
        return data

    return make


def test_a_batch_holds_both_texts_each_padded_behind(pairs):
    batch = data_batch = next(iter(pairs().train_dataloader()))
    x, target = batch["input"], batch["target"]
    assert set(x) == {"input_ids", "attention_mask", "target_ids", "target_mask"}
    assert torch.equal(target, x["target_ids"].masked_fill(x["target_mask"] == 0, IGNORED))
    for row, index in enumerate(data_batch["index"].tolist()):
        read, written = x["input_ids"][row], x["target_ids"][row]
        assert x["attention_mask"][row].sum() == len(ROWS[index]["source"].split()) + 2
        assert written[x["target_mask"][row] == 1].tolist()[1:-1] == [
            {"good": 10, "bad": 5, "dull": 7, "fine": 9}[word] for word in ROWS[index]["target"].split()
        ]
        assert (read[x["attention_mask"][row] == 0] == 0).all()


def test_what_is_read_is_prefixed_whether_it_is_learnt_or_predicted(pairs):
    data = pairs(prefix="very ")
    assert all(tokens[0, 1] == 16 for tokens in data._tokens)
    data.predict_on([("the film",)], data.spec)
    batch = next(iter(data.predict_dataloader()))
    assert batch["input"]["input_ids"].tolist() == [[2, 16, 15, 8, 3]] and "target_ids" not in batch["input"]


def test_long_texts_are_cut_and_it_is_said(pairs, caplog):
    data = pairs(max_target_length=4, max_length=5)
    assert all(len(data.tokenizer.written(tokens)) <= 4 for tokens in data._tokens)
    assert "16 of 40 texts (40.0%) are longer than 5 tokens" in caplog.text
    assert "20 of 40 target texts are longer than 4 tokens" in caplog.text
    assert data.spec.truncated == 0.4


def test_the_table_says_what_the_cache_and_people_must_know(pairs):
    data, other = pairs(), pairs([{**row, "target": row["target"] + " film"} for row in ROWS])
    assert (data.spec.target, data.table.targets[1]) == ("text", "good bad")
    assert data.spec.fingerprint != other.spec.fingerprint and data.digests[0] != other.digests[0]
    assert data.plain(np.array([1])).shown(0) == "the the\tgood bad"
    alike = data.prepare([data._tokens[0], data._tokens[3]], torch.device("cpu"), alike=True)
    assert {t.shape for t in alike.values()} == {(2, data._longest)}


@pytest.fixture
def marking(tmp_path):
    """Writes an mBART's tokenizer: the first models mark texts with their language behind them, later ones in front."""

    def write(kind, **languages):
        special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
        words = [(f"\u2581{word}", -1.0) for word in ("the", *WORDS)]
        getattr(transformers, kind)(vocab=special + words, **languages).save_pretrained(tmp_path / "own")
        return TextPreprocess("own", str(tmp_path / "own"), "x", 64, 100, "encoder_decoder")

    return write


@pytest.mark.parametrize("kind", ["MBartTokenizer", "MBart50Tokenizer"])
def test_languages_mark_texts_and_what_is_written_begins_with_its_own(pairs, marking, kind):
    preprocess = marking(kind, src_lang="ro_RO", tgt_lang="fr_XX")
    data = pairs(setup=False, languages=["en_XX", "de_DE"])
    data.connect(preprocess)
    data.setup("fit")
    own = AutoTokenizer.from_pretrained(preprocess.folder, src_lang="en_XX", tgt_lang="de_DE")
    for tokens, row in zip(data._tokens, ROWS, strict=True):
        assert tokens[0, tokens[0] >= 0].tolist() == own(row["source"])["input_ids"]
        assert data.tokenizer.written(tokens).tolist() == own(text_target=row["target"])["input_ids"]
    mark = own.convert_tokens_to_ids("de_DE")
    last = kind == "MBartTokenizer"
    assert data.tokenizer.begin == {"decoder_start_token_id" if last else "forced_bos_token_id": mark}
    assert data.preprocess.languages == ("en_XX", "de_DE")  # and so in what the cache goes by
    assert data.tokenizer.text(data.tokenizer.written(data._tokens[0]).tolist()) == ROWS[0]["target"]


def test_each_mistake_with_languages_is_one_sentence(pairs, marking, small_text):
    plain = TextPreprocess("t5", small_text("t5"), "x", 64, 18, "encoder_decoder")
    told = marking("MBartTokenizer", src_lang="en_XX")
    for languages, preprocess, error, sentence in (
        (["en_XX"], plain, DataError, "data.languages to be a source and a target language"),
        (["en_XX", "de_DE"], plain, ConfigError, "of t5 knows but got en_XX, de_DE .* it marks texts with none"),
        (["en_XX", "xx"], told, ConfigError, r"of own knows but got xx \(data.languages\)"),
        (None, told, ConfigError, r"data.languages, such as \[en_XX, de_DE\], since the tokenizer of own marks"),
    ):
        with pytest.raises(error, match=rf"^Expected [^\n]*{sentence}[^\n]*$"):
            pairs(setup=False, languages=languages).connect(preprocess)


def test_without_marks_what_is_written_begins_as_the_model_says(pairs):
    assert pairs().tokenizer.begin == {}

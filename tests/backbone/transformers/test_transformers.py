from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.contract.features import Needs
from tunesmith.errors import ConfigError, WeightsError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small BERT with weights, as the library saves it: heads of pretraining and all."""
    import os

    from transformers import AutoConfig, AutoModelForMaskedLM

    folder = tmp_path_factory.mktemp("saved") / "bert"
    shutil.copytree(Path(os.environ["SMALL_TEXTS"], "bert"), folder)
    torch.manual_seed(3)
    AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


BOTH = Needs(pooled=True, tokens=True)
BATCH = {
    "input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}


def test_the_folders_weights_are_loaded_and_recorded(saved):
    backbone = Transformers(str(saved))
    own = load_file(saved / "model.safetensors")
    assert torch.equal(backbone.net.embeddings.word_embeddings.weight, own["bert.embeddings.word_embeddings.weight"])
    assert backbone.weights.source == "pretrained" and backbone.weights.matched == len(backbone.net.state_dict())
    assert backbone.weights.missing == () and all(name.startswith("cls.") for name in backbone.weights.ignored)
    assert Transformers(str(saved)).weights.hash == backbone.weights.hash
    assert backbone.training and not any(p.grad_fn for p in backbone.parameters())


def test_a_file_of_weights(saved, tmp_path):
    whole = Transformers(str(saved))
    save_file({f"bert.{n}": t.contiguous() for n, t in whole.net.state_dict().items()}, tmp_path / "other.safetensors")
    other = Transformers(str(saved), weights=str(tmp_path / "other.safetensors"))
    assert torch.equal(other.eval()(BATCH).pooled, whole.eval()(BATCH).pooled)
    assert not torch.equal(Transformers(str(saved), weights=None).eval()(BATCH).pooled, whole(BATCH).pooled)


@torch.no_grad()
def test_the_first_token_of_a_decoder_stands_for_nothing(small_text):
    with pytest.raises(ConfigError, match=r"^Expected backbone.pooling to be last or mean for a decoder, [^\n]*$"):
        Transformers(small_text("gpt2"), weights=None, pooling="cls")
    assert Transformers(small_text("t5"), weights=None, pooling="cls")


def test_pooling(saved):
    poolings = {
        name: Transformers(str(saved), pooling=name).eval()(BATCH, needs=BOTH)
        for name in ("mean", "cls", "last", "auto")
    }
    tokens = poolings["mean"].tokens
    assert torch.equal(poolings["cls"].pooled, tokens[:, 0])
    assert torch.equal(poolings["last"].pooled, torch.stack([tokens[0, 3], tokens[1, 2]]))
    assert torch.allclose(poolings["mean"].pooled, torch.stack([tokens[0].mean(0), tokens[1, :3].mean(0)]))
    assert torch.equal(poolings["auto"].pooled, poolings["mean"].pooled)


@torch.no_grad()
def test_a_decoder_is_pooled_at_its_last_token_and_padding_changes_nothing(small_text):
    backbone = Transformers(small_text("gpt2"), weights=None).eval()
    features = backbone(BATCH, needs=BOTH)
    assert torch.equal(features.pooled, torch.stack([features.tokens[0, 3], features.tokens[1, 2]]))
    alone = backbone({"input_ids": torch.tensor([[2, 7, 3]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)})
    assert torch.allclose(alone.pooled[0], features.pooled[1], atol=1e-6)


def test_other_files_than_safetensors_are_never_opened(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    (tmp_path / "bin" / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(
        WeightsError, match=r"^Expected weights as .safetensors in \S+ but found none; other files could"
    ):
        Transformers(str(tmp_path / "bin"))


def test_code_that_comes_with_a_model_is_not_run(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "code")
    config = json.loads((tmp_path / "code" / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (tmp_path / "code" / "config.json").write_text(json.dumps(config))
    (tmp_path / "code" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ConfigError, match=r"^Expected a model in \S+ but its config.json cannot be used"):
        Transformers(str(tmp_path / "code"))
    assert not (tmp_path / "ran").exists()


def test_missing_weights_are_refused_by_name(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "cut")
    tensors = load_file(saved / "model.safetensors")
    lost = "bert.encoder.layer.1.output.dense.weight"
    save_file({n: t for n, t in tensors.items() if n != lost}, tmp_path / "cut" / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 are missing \(encoder.layer.1.output.dense.weight\)"):
        Transformers(str(tmp_path / "cut"))
    assert Transformers(str(tmp_path / "cut"), strict=False).weights.missing == (lost.removeprefix("bert."),)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"model_type": "vit"}, r"of type bert.* but the one in \S+ is of type 'vit'"),
        ({"model_type": "x"}, r"cannot be used"),
    ],
)
def test_a_model_of_another_kind(saved, tmp_path, changed, sentence):
    config = json.loads((saved / "config.json").read_text()) | changed
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=sentence):
        Transformers(str(tmp_path))


def test_an_unknown_pooling(saved):
    with pytest.raises(ConfigError, match=r"auto, mean, cls or last but got 'max'"):
        Transformers(str(saved), pooling="max")


def test_constant_tables_are_no_parameters(small_text):
    backbone = Transformers(small_text("marian"), weights=None)
    assert "encoder.embed_positions.weight" in dict(backbone.net.named_buffers())
    assert all(parameter.requires_grad for parameter in backbone.parameters())

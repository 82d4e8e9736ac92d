"""The head of pretraining and the writing of texts: those of the library, with the library's own numbers."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.contract.features import Needs
from tunesmith.errors import ConfigError, WeightsError

MASKED = ("bert", "roberta", "electra", "distilbert", "deberta-v2")
CAUSAL = ("gpt2", "llama", "qwen2", "mistral")
WRITING = ("t5", "bart", "mbart", "marian")
LIBRARY = {
    **dict.fromkeys(MASKED, "AutoModelForMaskedLM"),
    **dict.fromkeys(CAUSAL, "AutoModelForCausalLM"),
    **dict.fromkeys(WRITING, "AutoModelForSeq2SeqLM"),
}
IDS = torch.tensor([[2, 6, 7, 8, 9, 3], [2, 10, 11, 3, 0, 0]])
BATCH = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}
WRITTEN = torch.tensor([[12, 6, 15, 3], [9, 3, 0, 0]])


def made(small_text, tmp_path_factory, name, **changed):
    """A small model with its head, as the library saves it, and ours of the same folder."""
    folder = tmp_path_factory.mktemp("made") / name
    shutil.copytree(small_text(name), folder)
    config = json.loads((folder / "config.json").read_text()) | changed
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(4)
    library = getattr(transformers, LIBRARY[name])
    library.from_config(transformers.AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    # Biases begin at zero, and equal zeros prove nothing; nor do models that always write one word.
    tensors = {n: t + 0.3 * torch.randn_like(t) for n, t in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder, library.from_pretrained(folder).eval()


def pair(*args, **changed):
    folder, reference = made(*args, **changed)
    backbone = Transformers(str(folder)).eval()
    return backbone, backbone.lm_head().eval(), reference


def inputs(name):
    """What ours takes, and what the library's takes for the same."""
    if name not in WRITING:
        return BATCH, {**BATCH, "labels": IDS.masked_fill(IDS == 0, -100)}
    ours = {**BATCH, "target_ids": WRITTEN, "target_mask": (WRITTEN > 0).long()}
    return ours, {**BATCH, "labels": WRITTEN.masked_fill(WRITTEN == 0, -100)}


def loss_of(name, outputs, labels):
    if name in CAUSAL:
        outputs, labels = outputs[:, :-1], labels[:, 1:]
    return torch.nn.functional.cross_entropy(outputs.flatten(0, 1), labels.flatten(), ignore_index=-100)


@pytest.mark.parametrize("name", [*MASKED, *CAUSAL, *WRITING])
def test_loss_and_gradients_are_those_of_the_library(name, small_text, tmp_path_factory):
    backbone, lm_head, reference = pair(small_text, tmp_path_factory, name)
    x, theirs = inputs(name)
    outputs = lm_head(backbone(x, needs=Needs(tokens=True)).tokens)
    loss, expected = loss_of(name, outputs, theirs["labels"]), reference(**theirs).loss
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    loss.backward()
    expected.backward()
    ours = {f"net.{n}": p for n, p in backbone.net.named_parameters()} | dict(lm_head.parts.named_parameters())
    grads = {id(p): p.grad for p in reference.parameters()}
    base = getattr(reference, reference.base_model_prefix, reference)
    compared = 0
    for n, p in ours.items():
        owner = base if n.startswith("net.") else reference
        other = dict(owner.named_parameters(remove_duplicate=False))[n.removeprefix("net.")]
        if grads[id(other)] is not None and grads[id(other)].abs().max() > 0:
            torch.testing.assert_close(p.grad, grads[id(other)], rtol=1e-4, atol=1e-5)
            compared += 1
    # A model that the library makes keeps sinusoidal positions constant; one that it loads (5.24) forgets that.
    made_new = type(reference)(reference.config)
    constant = {n for n, p in made_new.named_parameters() if not p.requires_grad}
    learnt = [p for n, p in reference.named_parameters() if n not in constant and p.grad is not None]
    trained = [p for p in learnt if p.grad.abs().max() > 0]
    assert compared == len(trained) > 20  # each of the library's once, tied ones too


@pytest.mark.parametrize("name", [*CAUSAL, *WRITING])
@pytest.mark.parametrize("beams", [1, 3])
def test_what_is_written_is_what_the_library_writes(name, beams, small_text, tmp_path_factory):
    untied = {"tie_word_embeddings": False} if name == "gpt2" else {}  # with random weights it says the last word again
    backbone, lm_head, reference = pair(small_text, tmp_path_factory, name, **untied)
    before = dict(backbone.named_parameters())
    options = {"max_new_tokens": 6, "num_beams": beams}
    got = backbone.write(lm_head, BATCH, **options)
    # What a decoder is to go on with ends where it begins: the library wants padding in front.
    leaned = BATCH if name in WRITING else {n: torch.stack([t[0], t[1].roll(2)]) for n, t in BATCH.items()}
    expected = reference.generate(**leaned, do_sample=False, pad_token_id=0, **options)
    assert got.tolist() == (expected if name in WRITING else expected[:, 6:]).tolist()
    assert len(set(got.flatten().tolist())) > 1
    assert all(p is before[n] for n, p in backbone.named_parameters()) and not backbone.training


@pytest.mark.parametrize("begin", [{"forced_bos_token_id": 5}, {"decoder_start_token_id": 7}])
def test_what_is_written_begins_with_what_it_is_told(begin, small_text, tmp_path_factory):
    backbone, lm_head, reference = pair(small_text, tmp_path_factory, "mbart")
    got = backbone.write(lm_head, BATCH, max_new_tokens=6, begin=begin)
    expected = reference.generate(**BATCH, do_sample=False, pad_token_id=0, max_new_tokens=6, **begin)
    assert got.tolist() == expected.tolist() != backbone.write(lm_head, BATCH, max_new_tokens=6).tolist()


def test_tied_weights_are_the_backbones_and_stay_so_in_a_copy(small_text):
    backbone = Transformers(small_text("gpt2"), weights=None)
    both = torch.nn.ModuleDict({"backbone": backbone, "lm_head": backbone.lm_head()})
    assert list(both["lm_head"].parameters()) == [] and list(both["lm_head"].state_dict()) == []
    twin = copy.deepcopy(both)
    with torch.no_grad():
        twin["backbone"].net.wte.weight.zero_()
    assert not twin["lm_head"](torch.ones(1, 1, 16)).any() and both["lm_head"](torch.ones(1, 1, 16)).any()


def test_untied_weights_are_the_heads_own(small_text, tmp_path_factory):
    backbone, lm_head, reference = pair(small_text, tmp_path_factory, "gpt2", tie_word_embeddings=False)
    assert torch.equal(lm_head.parts["lm_head"].weight, reference.lm_head.weight)
    assert not torch.equal(lm_head.parts["lm_head"].weight, backbone.net.wte.weight)


def test_t5_1_1_has_a_head_of_its_own_which_the_library_finds_in_the_file(small_text, tmp_path_factory):
    """Its configuration says so by a key that the library reads as another: that outputs are not scaled."""
    folder, _ = made(small_text, tmp_path_factory, "t5", tie_word_embeddings=False)
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": False}
    config.pop("scale_decoder_outputs", None)  # as the published ones are
    (folder / "config.json").write_text(json.dumps(config))
    own = tensors | {"lm_head.weight": torch.randn_like(tensors["shared.weight"])}
    save_file(own, folder / "model.safetensors", {"format": "pt"})
    reference = transformers.T5ForConditionalGeneration.from_pretrained(folder).eval()
    backbone = Transformers(str(folder)).eval()
    x, theirs = inputs("t5")
    outputs = backbone.lm_head().eval()(backbone(x, needs=Needs(tokens=True)).tokens)
    torch.testing.assert_close(loss_of("t5", outputs, theirs["labels"]), reference(**theirs).loss, rtol=1e-5, atol=1e-5)


def test_a_head_without_weights_begins_random_and_says_so(small_text, tmp_path_factory):
    folder, _ = made(small_text, tmp_path_factory, "bert")
    tensors = {n: t for n, t in load_file(folder / "model.safetensors").items() if not n.startswith("cls.")}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    lm_head = Transformers(str(folder)).lm_head()
    assert all(torch.isfinite(p).all() for p in lm_head.parameters())
    assert [f"parts.{name}" for name in lm_head.random] == list(lm_head.state_dict())
    assert Transformers(str(folder), weights=None).lm_head().random == []


def test_weights_that_contradict_the_configuration_are_refused(small_text, tmp_path_factory):
    folder, _ = made(small_text, tmp_path_factory, "gpt2")
    tensors = load_file(folder / "model.safetensors")
    name = next(n for n in tensors if n.endswith("wte.weight"))
    save_file(tensors | {"lm_head.weight": tensors[name] + 1}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"^Expected lm_head.weight to be transformer.wte.weight, [^\n]*$"):
        Transformers(str(folder)).lm_head()


def test_an_encoder_writes_nothing(small_text):
    backbone = Transformers(small_text("bert"), weights=None).eval()
    with pytest.raises(ConfigError, match=r"^Expected a model that generates text but got one of type 'bert'.$"):
        backbone.write(backbone.lm_head(), BATCH, max_new_tokens=2)


def test_what_the_folder_says_of_writing_counts(small_text, tmp_path_factory):
    folder, _ = made(small_text, tmp_path_factory, "marian")
    said = {"bad_words_ids": [[i] for i in range(4, 18) if i != 7], "eos_token_id": 3, "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(said | {"decoder_start_token_id": 3}))
    backbone = Transformers(str(folder)).eval()
    assert set(backbone.write(backbone.lm_head().eval(), BATCH, max_new_tokens=3).flatten().tolist()) <= {0, 1, 2, 3, 7}


def test_the_decoder_reads_another_text_than_the_encoder(small_text):
    backbone = Transformers(small_text("bart"), weights=None).eval()
    x, _ = inputs("bart")
    features = backbone(x, needs=Needs(pooled=True, tokens=True))
    assert features.tokens.shape[1] == 4 and features.mask.tolist() == (WRITTEN > 0).long().tolist()
    cut = backbone.suffix(2, Needs(pooled=True, tokens=True))(backbone.prefix(2)(x))
    assert torch.equal(cut.tokens, features.tokens) and torch.equal(features.pooled[1], features.tokens[1, 1])


def test_constant_tables_stay_so_when_weights_are_loaded(small_text, tmp_path_factory):
    folder, reference = made(small_text, tmp_path_factory, "marian")
    backbone = Transformers(str(folder))
    table = dict(backbone.net.named_buffers())["decoder.embed_positions.weight"]
    assert torch.equal(table, reference.model.decoder.embed_positions.weight) and backbone.weights.missing == ()

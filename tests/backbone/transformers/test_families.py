"""Stage by stage, a model gives the bits of the library's forward pass, and with a head its classifier's loss."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from tunesmith.backbone.transformers.transformers import Transformers
from tunesmith.contract.features import Needs
from tunesmith.head.linear import Linear
from tunesmith.head.mlp import MLP
from tunesmith.task.loss.loss import CrossEntropy, mean_loss

MODELS = [
    *("bert", "roberta", "electra", "distilbert", "deberta-v2", "gpt2", "llama", "qwen2", "mistral"),
    *("t5", "bart", "mbart", "marian"),
]
# What stands between the features and the last layer of the library's classifier: its activation, and where it lies.
HEADS = {
    "bert": ("tanh", "bert.pooler.dense", "classifier"),
    "roberta": ("tanh", "classifier.dense", "classifier.out_proj"),
    "electra": ("gelu", "classifier.dense", "classifier.out_proj"),
    "distilbert": ("relu", "pre_classifier", "classifier"),
    "deberta-v2": ("gelu", "pooler.dense", "classifier"),
    "gpt2": (None, None, "score"),
    "llama": (None, None, "score"),
    "qwen2": (None, None, "score"),
    "mistral": (None, None, "score"),
    "t5": ("tanh", "classification_head.dense", "classification_head.out_proj"),
    "bart": ("tanh", "classification_head.dense", "classification_head.out_proj"),
    "mbart": ("tanh", "classification_head.dense", "classification_head.out_proj"),
}


@pytest.fixture
def batch():
    """Three texts, padded; each ends with the token of the end, once."""
    tokens = torch.tensor([[2, 5, 6, 7, 8, 9, 3], [2, 9, 8, 3, 0, 0, 0], [2, 6, 6, 10, 12, 3, 0]])
    return {"input_ids": tokens, "attention_mask": (tokens > 0).long()}


def twins(name, small_text, kind, **options):
    """Our backbone, and a model of the library's with the same weights."""
    torch.manual_seed(1)
    backbone = Transformers(small_text(name), weights=None, **options).eval()
    library = kind.from_config(backbone.net.config).eval()
    base = library.base_model
    backbone.net.load_state_dict({n: t for n, t in base.state_dict().items() if n in backbone.net.state_dict()})
    return backbone, library


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_tokens_are_the_librarys(name, small_text, batch):
    backbone, library = twins(name, small_text, AutoModel)
    behind = {}
    if name in ("t5", "marian"):
        shifted = backbone._family.shifted(backbone.net, batch["input_ids"], batch["attention_mask"])
        behind = {"decoder_input_ids": shifted}
    kept = batch["attention_mask"].bool()
    own = library(**batch, **behind).last_hidden_state
    assert torch.equal(backbone(batch, needs=Needs(tokens=True)).tokens[kept], own[kept])
    # Negative control: what is behind the padding matters not, and the tokens do.
    other = {**batch, "input_ids": batch["input_ids"].roll(1, 0)}
    assert not torch.equal(backbone(other, needs=Needs(tokens=True)).tokens[kept], own[kept])


@pytest.mark.parametrize("name", HEADS)
def test_loss_and_gradients_are_those_of_the_librarys_classifier(name, small_text, batch):
    activation, hidden, last = HEADS[name]
    pooling = "cls" if name in ("bert", "roberta", "electra", "distilbert", "deberta-v2") else "last"
    backbone, library = twins(name, small_text, AutoModelForSequenceClassification, pooling=pooling)
    width, outputs = backbone.feature_dim, library.config.num_labels
    if hidden:
        head = MLP(width, outputs, hidden=[width], dropout=0.0, norm="none", activation=activation)
        head.hidden[0][0].load_state_dict(library.get_submodule(hidden).state_dict())
    else:
        head = Linear(width, outputs)
    head.output.load_state_dict(library.get_submodule(last).state_dict(), strict=False)  # decoders have no bias
    target = torch.tensor([0, 1, 1])

    loss = mean_loss(CrossEntropy(), head(backbone(batch, needs=head.needs)), target, None)
    own = library(**batch, labels=target).loss
    torch.testing.assert_close(loss, own, rtol=0, atol=1e-5)
    loss.backward()
    own.backward()
    theirs = dict(library.base_model.named_parameters())
    compared = [(p.grad, theirs[n].grad) for n, p in backbone.net.named_parameters() if n in theirs]
    assert len(compared) == len(list(backbone.net.parameters()))
    for one, other in compared:
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    torch.testing.assert_close(head.output.weight.grad, library.get_submodule(last).weight.grad, rtol=0, atol=1e-5)
    assert any(one.abs().max() > 1e-4 for one, _ in compared)

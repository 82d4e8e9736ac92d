"""Define the supported families of Hugging Face models, each with its peculiarities."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from tunesmith.backbone.transformers.encoder_decoder import T5, Bart
from tunesmith.backbone.transformers.family import EMBEDDINGS, Family, Library, causal, shared_from, words


@final
class Bert(Family):
    """BERT and models built like it, such as MiniLM and RoBERTa."""

    types, last = ("bert", "roberta", "xlm-roberta", "camembert"), False
    embeddings, blocks = ("embeddings",), "encoder.layer"
    lm_head = ("cls", "lm_head")


@final
class Electra(Family):
    """ELECTRA, whose embeddings may be narrower than its blocks."""

    types, last = ("electra",), False
    embeddings, blocks = ("embeddings", "embeddings_project"), "encoder.layer"
    lm_head = ("generator_predictions", "generator_lm_head")

    def embed(self, net: Library, x: Mapping[str, Tensor]) -> Tensor:
        """Embed tokens, and project them to the blocks' width."""
        hidden: Tensor = net.embeddings(**words(x))
        if hasattr(net, "embeddings_project"):
            hidden = net.embeddings_project(hidden)
        return hidden


@final
class DistilBert(Family):
    """DistilBERT, which does not distinguish the two texts of a pair."""

    types, last = ("distilbert",), False
    embeddings, blocks = ("embeddings",), "transformer.layer"
    lm_head = ("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector")

    def embed(self, net: Library, x: Mapping[str, Tensor]) -> Tensor:
        """Embed tokens."""
        hidden: Tensor = net.embeddings(x["input_ids"])
        return hidden


@final
class Deberta(Family):
    """DeBERTa: all blocks share the relative position embeddings, which belong to the first stage."""

    types, last = ("deberta", "deberta-v2"), False
    embeddings = ("embeddings", "encoder.rel_embeddings", "encoder.LayerNorm")
    blocks = "encoder.layer"
    lm_head = ("cls",)

    def block_members(self, net: Library, number: int) -> tuple[str, ...]:
        """Return a block's members; the convolution, which runs beside the first block, belongs to it."""
        own = super().block_members(net, number)
        return (*own, "encoder.conv") if number == 0 and getattr(net.encoder, "conv", None) is not None else own

    def embed(self, net: Library, x: Mapping[str, Tensor]) -> Tensor:
        """Embed tokens; padding becomes zero."""
        hidden: Tensor = net.embeddings(**words(x), mask=x["attention_mask"])
        return hidden

    def block(
        self, net: Library, number: int, module: Library, hidden: Tensor, mask: Tensor, frozen: Container[str]
    ) -> Tensor:
        """Run one block with relative positions."""
        encoder = net.encoder
        out, _ = module(
            hidden,
            encoder.get_attention_mask(mask),
            relative_pos=encoder.get_rel_pos(hidden),
            rel_embeddings=shared_from(encoder.get_rel_embedding(), EMBEDDINGS, frozen),
        )
        if number == 0 and getattr(encoder, "conv", None) is not None:
            out = encoder.conv(hidden, out, mask)
        blocked: Tensor = out
        return blocked


@final
class GPT2(Family):
    """GPT-2."""

    types, last, attention = ("gpt2",), True, "causal"
    embeddings, blocks, norm = ("wte", "wpe", "drop"), "h", "ln_f"

    def embed(self, net: Library, x: Mapping[str, Tensor]) -> Tensor:
        """Embed tokens and their positions."""
        tokens = x["input_ids"]
        hidden = net.wte(tokens) + net.wpe(torch.arange(tokens.shape[1], device=tokens.device)[None])
        # Not by the model's own dropout module, which has no weights that would tell whether this stage is frozen.
        return F.dropout(hidden, net.drop.p, net.wte.training)

    def block(
        self, net: Library, number: int, module: Library, hidden: Tensor, mask: Tensor, frozen: Container[str]
    ) -> Tensor:
        """Run one block; every token attends to those before it."""
        out: Tensor = module(hidden, None, causal(net, hidden, mask))
        return out


@final
class Llama(Family):
    """Llama, Qwen and Mistral, with rotary positions."""

    types, last, attention = ("llama", "mistral", "qwen2", "qwen3"), True, "causal"
    embeddings, blocks, norm = ("embed_tokens", "rotary_emb"), "layers", "norm"

    def embed(self, net: Library, x: Mapping[str, Tensor]) -> Tensor:
        """Embed tokens."""
        hidden: Tensor = net.embed_tokens(x["input_ids"])
        return hidden

    def block(
        self, net: Library, number: int, module: Library, hidden: Tensor, mask: Tensor, frozen: Container[str]
    ) -> Tensor:
        """Run one block; every token attends to those before it, at most as many as its window holds."""
        kinds = getattr(net.config, "layer_types", None)
        windowed = kinds[number] == "sliding_attention" if kinds else getattr(net.config, "sliding_window", None)
        places = torch.arange(hidden.shape[1], device=hidden.device)[None]
        out: Tensor = module(
            hidden,
            attention_mask=causal(net, hidden, mask, bool(windowed)),
            position_ids=places,
            position_embeddings=net.rotary_emb(hidden, places),
        )
        return out


FAMILIES: tuple[Family, ...] = (Bert(), DistilBert(), Deberta(), Electra(), GPT2(), Llama(), T5(), Bart())

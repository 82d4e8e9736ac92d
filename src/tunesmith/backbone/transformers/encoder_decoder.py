"""Run Hugging Face encoder-decoders: two stacks of blocks in sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor

from tunesmith.backbone.transformers.family import (
    EMBEDDINGS,
    Family,
    Library,
    State,
    bidirectional,
    causal,
    has,
    shared_from,
)
from tunesmith.contract.features import Stage


class EncoderDecoder(Family, ABC):
    """Two stacks: the encoder reads the source text, then the decoder reads the target, shifted by one token.

    Without a target, the decoder reads the source text again, as if to copy it; the text is then pooled at the
    decoder's last token, as the library's own classifiers do.
    """

    last, attention = True, "encoder_decoder"
    stack_blocks: ClassVar[str]
    final_norm: ClassVar[str]

    def stages(self, net: Library) -> list[Stage]:
        """Return the stages of a model: embeddings of both stacks, then the encoder's and the decoder's blocks."""
        found = [Stage(EMBEDDINGS, tuple(name for name in self.embeddings if has(net, name)))]
        for stack in ("encoder", "decoder"):
            count = len(net.get_submodule(f"{stack}.{self.stack_blocks}"))
            found += [Stage(f"{stack}.{i}", (f"{stack}.{self.stack_blocks}.{i}",)) for i in range(count)]
            if has(net, f"{stack}.{self.final_norm}"):
                found.append(Stage(f"{stack}.norm", (f"{stack}.{self.final_norm}",)))
        return found

    def run(self, net: Library, stage: Stage, x: Mapping[str, Tensor], frozen: Container[str] = ()) -> State:
        """Run one stage on the previous stage's output, the first on the input.

        Args:
            net: The model.
            stage: The stage.
            x: Output of the previous stage.
            frozen: Names of the stages that run without gradients; tensors that they share with deeper stages are
                detached there.
        """
        if stage.name == EMBEDDINGS:
            written, own = x.get("target_ids", x["input_ids"]), x.get("target_mask", x["attention_mask"])
            target = self.embedded(net, net.decoder, self.shifted(net, written, own))
            hidden = self.embedded(net, net.encoder, x["input_ids"])
            counted = {"target_mask": own} if "target_mask" in x else {}
            return {"hidden": hidden, "mask": x["attention_mask"], "target": target, **counted}
        stack, _, part = stage.name.partition(".")
        module, state = net.get_submodule(stage.members[0]), dict(x)
        if stack == "decoder" and "target" in state:
            state["memory"], state["hidden"] = state["hidden"], state.pop("target")
        run = self.finish if part == "norm" else self.encode if stack == "encoder" else self.decode
        return {**state, "hidden": run(net, module, state, frozen)}

    @abstractmethod
    def embedded(self, net: Library, stack: Library, tokens: Tensor) -> Tensor:
        """Embed tokens for a stack."""

    def shifted(self, net: Library, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the decoder's input: tokens ``(B, T)`` shifted right by one, after a start token."""
        start = torch.full_like(tokens[:, :1], net.config.decoder_start_token_id)
        return torch.cat([start, tokens[:, :-1]], dim=1)

    def finish(self, net: Library, module: Library, x: State, frozen: Container[str]) -> Tensor:
        """Normalise the output of a stack."""
        out: Tensor = module(x["hidden"])
        return out

    def encode(self, net: Library, module: Library, x: State, frozen: Container[str]) -> Tensor:
        """Run one block of the encoder."""
        out: Tensor = module(x["hidden"], bidirectional(net.encoder, x["hidden"], x["mask"]))
        return out

    def decode(self, net: Library, module: Library, x: State, frozen: Container[str]) -> Tensor:
        """Run one block of the decoder."""
        hidden, memory = x["hidden"], x["memory"]
        across = bidirectional(net.decoder, hidden, x["mask"], memory)
        own = causal(net.decoder, hidden, torch.ones(hidden.shape[:2], dtype=torch.int64, device=hidden.device))
        out: Tensor = module(hidden, own, memory, encoder_attention_mask=across, use_cache=False)
        return out


@final
class Bart(EncoderDecoder):
    """BART, mBART and Marian."""

    types = ("bart", "mbart", "marian")
    embeddings = (
        *("shared", "encoder.embed_tokens", "decoder.embed_tokens", "encoder.embed_positions"),
        *("decoder.embed_positions", "encoder.layernorm_embedding", "decoder.layernorm_embedding"),
    )
    stack_blocks, final_norm = "layers", "layer_norm"

    def embedded(self, net: Library, stack: Library, tokens: Tensor) -> Tensor:
        """Embed tokens and their positions."""
        own = stack.embed_tokens if stack.embed_tokens is not None else net.encoder.embed_tokens
        words = net.shared if has(net, "shared") else own
        hidden = words(tokens) * getattr(stack, "embed_scale", 1.0)
        hidden = hidden + stack.embed_positions(tokens.shape if net.config.model_type == "marian" else tokens)
        if hasattr(stack, "layernorm_embedding"):
            hidden = stack.layernorm_embedding(hidden)
        return F.dropout(hidden, stack.dropout, words.training)

    def shifted(self, net: Library, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the decoder's input; mBART's starts with the text's last token, which names the language."""
        if net.config.model_type != "mbart":
            return super().shifted(net, tokens, mask)
        return torch.cat([tokens.gather(1, mask.sum(1, keepdim=True) - 1), tokens[:, :-1]], dim=1)


@final
class T5(EncoderDecoder):
    """T5: all blocks of a stack share the relative positions of its first block."""

    types = ("t5",)
    embeddings = ("shared",)
    apart = False
    stack_blocks, final_norm = "block", "final_layer_norm"

    def embedded(self, net: Library, stack: Library, tokens: Tensor) -> Tensor:
        """Embed tokens."""
        return F.dropout(net.shared(tokens), net.config.dropout_rate, net.shared.training)

    def finish(self, net: Library, module: Library, x: State, frozen: Container[str]) -> Tensor:
        """Normalise the output of a stack."""
        return F.dropout(module(x["hidden"]), net.config.dropout_rate, module.training)

    def encode(self, net: Library, module: Library, x: State, frozen: Container[str]) -> Tensor:
        """Run one block of the encoder."""
        hidden = x["hidden"]
        out: Tensor = module(
            hidden, bidirectional(net.encoder, hidden, x["mask"]), _positions(net, "encoder", module, hidden, frozen)
        )[0]
        return out

    def decode(self, net: Library, module: Library, x: State, frozen: Container[str]) -> Tensor:
        """Run one block of the decoder."""
        hidden, memory = x["hidden"], x["memory"]
        across = bidirectional(net.decoder, hidden, x["mask"], memory)
        positions = _positions(net, "decoder", module, hidden, frozen)
        out: Tensor = module(hidden, causal(net.decoder, hidden, None), positions, memory, across)[0]
        return out


def _positions(net: Library, name: str, module: Library, hidden: Tensor, frozen: Container[str]) -> Tensor | None:
    """Return the relative positions for a T5 block, which are computed by the first block of its stack."""
    first = net.get_submodule(name).block[0]
    if module is first:
        return None  # the first block computes them itself
    length = hidden.shape[1]
    bias = first.layer[0].SelfAttention.compute_bias(length, length, device=hidden.device)
    return shared_from(bias, f"{name}.0", frozen)

"""How a model of Hugging Face's is cut into stages, and how each stage runs.

Between stages flow ``hidden``, the tokens in motion ``(B, T, D)``, and ``mask``, which of them count ``(B, T)``; in an
encoder-decoder also ``target``, the decoder's embedded tokens, up to the first block of the decoder, and from then on
``memory``, what the encoder gave; where the decoder reads another text also ``target_mask``, which of its tokens count.
Masks of attention and relative positions are computed anew in each block: they take
microseconds, and nothing but the tokens need be kept at a cut.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Container, Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_causal_mask,
    create_sliding_window_causal_mask,
)

from tunesmith.contract.features import Stage

EMBEDDINGS = "embeddings"
"""The first stage of every model."""

State = dict[str, Tensor]


class Family(ABC):
    """One stack of blocks, behind the embeddings."""

    types: ClassVar[tuple[str, ...]]
    """Types of model, as their configurations name them."""

    last: ClassVar[bool]
    """Whether only a text's last token has seen all of it."""

    embeddings: ClassVar[tuple[str, ...]]
    """Members of the first stage; those that a model lacks are left out."""

    blocks: ClassVar[str]
    norm: ClassVar[str | None] = None

    attention: ClassVar[Literal["bidirectional", "causal", "encoder_decoder"]] = "bidirectional"
    """As `TextPreprocess` has it."""

    apart: ClassVar[bool] = True
    """Whether every stage uses weights of its own alone."""

    lm_head: ClassVar[tuple[str, ...]] = ("lm_head",)
    """What the head of pretraining is made of, in the order it runs; what a model lacks is left out."""

    def stages(self, net: Any) -> list[Stage]:
        """Cut a model: embeddings, each block, and the last normalisation where there is one."""
        first = Stage(EMBEDDINGS, tuple(name for name in self.embeddings if has(net, name)))
        blocks = [Stage(f"block.{i}", self.block_members(net, i)) for i in range(len(net.get_submodule(self.blocks)))]
        return [first, *blocks, *([Stage("norm", (self.norm,))] if self.norm else [])]

    def block_members(self, net: Any, number: int) -> tuple[str, ...]:
        """Members of a block's stage."""
        return (f"{self.blocks}.{number}",)

    def run(self, net: Any, stage: Stage, x: Mapping[str, Tensor], frozen: Container[str] = ()) -> State:
        """Run one stage on what the one before gave, the first on the input.

        Args:
            net: The model.
            stage: Which.
            x: What the one before gave.
            frozen: Names of the stages that run without gradients: what they share with deeper ones has none there.
        """
        if stage.name == EMBEDDINGS:
            return {"hidden": self.embed(net, x), "mask": x["attention_mask"]}
        module = net.get_submodule(stage.members[0])
        if stage.name == "norm":
            return {**x, "hidden": module(x["hidden"])}
        number = int(stage.name.rpartition(".")[2])
        return {**x, "hidden": self.block(net, number, module, x["hidden"], x["mask"], frozen)}

    def embed(self, net: Any, x: Mapping[str, Tensor]) -> Tensor:
        """Embed tokens."""
        hidden: Tensor = net.embeddings(**words(x))
        return hidden

    def block(self, net: Any, number: int, module: Any, hidden: Tensor, mask: Tensor, frozen: Container[str]) -> Tensor:
        """Run one block on tokens ``(B, T, D)``; every token sees all others."""
        out: Tensor = module(hidden, bidirectional(net, hidden, mask))
        return out


def has(net: Any, name: str) -> bool:
    """Whether a model has a member of that name."""
    owner, _, leaf = name.rpartition(".")
    return getattr(net.get_submodule(owner), leaf, None) is not None


def words(x: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What an input's tokens are, for the embeddings."""
    return {name: x[name] for name in ("input_ids", "token_type_ids") if name in x}


def bidirectional(net: Any, hidden: Tensor, mask: Tensor, memory: Tensor | None = None) -> Any:
    """The mask with which every token sees all others, or all of a memory, but for padding."""
    return create_bidirectional_mask(
        config=net.config, inputs_embeds=hidden, attention_mask=mask, encoder_hidden_states=memory
    )


def causal(net: Any, hidden: Tensor, mask: Tensor | None, windowed: bool = False) -> Any:
    """The mask with which every token sees those before it, or as many of them as a window holds."""
    make = create_sliding_window_causal_mask if windowed else create_causal_mask
    # By position: transformers 5.24 renamed the cache from past_key_values.
    return make(net.config, hidden, mask, None)


def shared_from(tensor: Any, owner: str, frozen: Container[str]) -> Any:
    """What belongs to a shallower stage learns only where that stage does."""
    return tensor if tensor is None or owner not in frozen else tensor.detach()

"""Cut Hugging Face models into stages, and run each stage.

Between stages flow ``hidden``, the token states ``(B, T, D)``, and ``mask``, which tokens count ``(B, T)``. An
encoder-decoder adds ``target``, the decoder's embedded tokens, up to the first decoder block, and from then on
``memory``, the encoder's output; if the decoder reads another text, also ``target_mask``, which of its tokens count.
Attention masks and relative positions are recomputed in each block: that takes microseconds, and only the token states
need to be kept at a cut.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from torch import Tensor
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_causal_mask,
    create_sliding_window_causal_mask,
)

from tunesmith.contract.features import Stage

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

EMBEDDINGS = "embeddings"
"""Name of every model's first stage."""

State = dict[str, Tensor]

Library: TypeAlias = Any
"""A model, module or configuration of the library, whose classes share no declared attributes."""

Mask: TypeAlias = "Tensor | BlockMask | None"
"""An attention mask, in the form of the model's attention implementation."""


class Family(ABC):
    """A family of models with one stack of blocks after the embeddings."""

    types: ClassVar[tuple[str, ...]]
    """Model types, as named in the models' configurations."""

    last: ClassVar[bool]
    """Whether only a text's last token has seen the whole text."""

    embeddings: ClassVar[tuple[str, ...]]
    """Members of the first stage; those that a model lacks are left out."""

    blocks: ClassVar[str]
    norm: ClassVar[str | None] = None

    attention: ClassVar[Literal["bidirectional", "causal", "encoder_decoder"]] = "bidirectional"
    """As in `TextPreprocess`."""

    apart: ClassVar[bool] = True
    """Whether no stage uses another stage's weights."""

    lm_head: ClassVar[tuple[str, ...]] = ("lm_head",)
    """Modules of the pretraining head in execution order; those that a model lacks are left out."""

    def stages(self, net: Library) -> list[Stage]:
        """Return the stages of a model: embeddings, each block, and the final norm if there is one."""
        first = Stage(EMBEDDINGS, tuple(name for name in self.embeddings if has(net, name)))
        blocks = [Stage(f"block.{i}", self.block_members(net, i)) for i in range(len(net.get_submodule(self.blocks)))]
        return [first, *blocks, *([Stage("norm", (self.norm,))] if self.norm else [])]

    def block_members(self, net: Library, number: int) -> tuple[str, ...]:
        """Return the members of a block's stage."""
        return (f"{self.blocks}.{number}",)

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
            return {"hidden": self.embed(net, x), "mask": x["attention_mask"]}
        module = net.get_submodule(stage.members[0])
        if stage.name == "norm":
            return {**x, "hidden": module(x["hidden"])}
        number = int(stage.name.rpartition(".")[2])
        return {**x, "hidden": self.block(net, number, module, x["hidden"], x["mask"], frozen)}

    def embed(self, net: Library, x: Mapping[str, Tensor]) -> Tensor:
        """Embed tokens."""
        hidden: Tensor = net.embeddings(**words(x))
        return hidden

    def block(
        self, net: Library, number: int, module: Library, hidden: Tensor, mask: Tensor, frozen: Container[str]
    ) -> Tensor:
        """Run one block on tokens ``(B, T, D)``; every token attends to all others."""
        out: Tensor = module(hidden, bidirectional(net, hidden, mask))
        return out


def has(net: Library, name: str) -> bool:
    """Return whether a model has a member of that name."""
    owner, _, leaf = name.rpartition(".")
    return getattr(net.get_submodule(owner), leaf, None) is not None


def words(x: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the inputs of the embeddings."""
    return {name: x[name] for name in ("input_ids", "token_type_ids") if name in x}


def bidirectional(net: Library, hidden: Tensor, mask: Tensor, memory: Tensor | None = None) -> Mask:
    """Return the mask by which every token attends to all others, or to all of a memory, except padding."""
    found: Mask = create_bidirectional_mask(
        config=net.config, inputs_embeds=hidden, attention_mask=mask, encoder_hidden_states=memory
    )
    return found


def causal(net: Library, hidden: Tensor, mask: Tensor | None, windowed: bool = False) -> Mask:
    """Return the mask by which every token attends to those before it, or to those within its window."""
    make = create_sliding_window_causal_mask if windowed else create_causal_mask
    # Pass by position: transformers 5.24 renamed the cache from past_key_values.
    found: Mask = make(net.config, hidden, mask, None)
    return found


def shared_from(tensor: Tensor | None, owner: str, frozen: Container[str]) -> Tensor | None:
    """Detach a tensor of a shallower stage if that stage is frozen."""
    return tensor if tensor is None or owner not in frozen else tensor.detach()

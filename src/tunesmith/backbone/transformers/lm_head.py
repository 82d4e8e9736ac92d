"""Map tokens to words with the head that a language model was pretrained with, and generate text with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import Tensor, nn

from tunesmith.compat.required import assign
from tunesmith.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from tunesmith.backbone.transformers.family import Family, Library

BIAS = "final_logits_bias"
"""Name of a buffer of some encoder-decoders that is added to the outputs."""

SAID = "generation_config.json"
"""File with a model's generation settings."""

LIBRARY = {
    "bidirectional": "AutoModelForMaskedLM",
    "causal": "AutoModelForCausalLM",
    "encoder_decoder": "AutoModelForSeq2SeqLM",
}
"""The library's class of models with their pretraining head, by kind of attention."""

_OLDER = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


class LMHead(nn.Module):
    """The library's own head of a language model: tokens ``(B, T, D)`` to outputs ``(B, T, K)``, K the vocabulary.

    If the model's configuration ties its weights to the embeddings (Press & Wolf 2017), the backbone's are used and are
    not parameters of this module: they train, freeze and are saved with the stage ``embeddings``.

    Args:
        net: The backbone's network.
        family: Its `Family`.
        files: Safetensors with the head's own weights; none for random ones.

    Raises:
        ConfigError: The library has no such head for the model.
        WeightsError: The files contain tied weights that differ.

    Attributes:
        random: Names of its tensors that the files lack.
    """

    def __init__(self, net: Library, family: Family, files: Iterable[Path] = ()) -> None:
        from tunesmith.compat.transformers import init_weights

        super().__init__()
        shell = _shell(net.config, family)
        names = [name for name in family.lm_head if _there(shell, name)]
        if not names:
            raise ConfigError(
                f"Expected a model with a language-modelling head but got one of type '{net.config.model_type}' "
                "that has none."
            )
        self.parts = nn.ModuleDict({name: getattr(shell, name) for name in names})
        self.scale = net.config.d_model**-0.5 if getattr(net.config, "scale_decoder_outputs", False) else 1.0
        self.parts.to_empty(device="cpu")
        for part in self.parts.values():
            init_weights(shell, part)
        if _there(shell, BIAS):
            self.register_buffer(BIAS, torch.zeros(shell.get_buffer(BIAS).shape))
        tied = _tied(shell, net.config, names)
        for target, source in tied.items():
            self._share(net, target, source)
        self.random: list[str] = []
        self._load(list(files), tied)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens ``(B, T, D)`` to outputs ``(B, T, K)``."""
        outputs = tokens * self.scale if self.scale != 1 else tokens
        for part in self.parts.values():
            outputs = part(outputs)
        return outputs + self.get_buffer(BIAS) if _there(self, BIAS) else outputs

    def _share(self, net: Library, target: str, source: str) -> None:
        """Make a module of the head use a weight stored elsewhere, without registering it as a parameter here."""
        owner, _, leaf = target.rpartition(".")
        place = source.rpartition(".")[0]
        if place.partition(".")[0] in self.parts:
            weight = self.parts.get_parameter(source)
        else:
            own = source.removeprefix(f"{net.base_model_prefix}.")
            words = net.get_submodule(own.rpartition(".")[0]) if _there(net, own) else net.get_input_embeddings()
            weight = words.weight
        module = self.parts.get_submodule(owner)
        delattr(module, leaf)
        # Bypass nn.Module, which would register it. A deep copy of the task copies the weight once, with its owner.
        object.__setattr__(module, leaf, weight)

    def _load(self, files: list[Path], tied: dict[str, str]) -> None:
        """Load the head's own weights from the model's files; missing ones stay random."""
        if not files:
            return
        found = _read(files, (*self.parts, BIAS))
        for target, source in tied.items():
            other = _read(files, (source,)).get(source)
            if target in found and other is not None and not torch.equal(found[target], other):
                raise WeightsError(
                    f"Expected {target} to be {source}, as the model's config.json ties them, but its weights differ: "
                    "put tie_word_embeddings: false there."
                )
        own = {**dict(self.parts.state_dict()), **dict(self.named_buffers(recurse=False))}
        for name, tensor in own.items():
            if name in found and found[name].shape == tensor.shape:
                with torch.no_grad():
                    tensor.copy_(found[name])
        self.random = [n for n in own if n != BIAS and (n not in found or found[n].shape != own[n].shape)]


def write(
    net: Library,
    family: Family,
    lm_head: nn.Module,
    folder: Path,
    x: Mapping[str, Tensor],
    max_new_tokens: int = 64,
    num_beams: int = 1,
    begin: Mapping[str, int] | None = None,
) -> Tensor:
    """Generate text without sampling (greedy or beam search), as the library's own `generate` does.

    A decoder continues the texts; an encoder-decoder converts them.

    Args:
        net: The backbone's network, in eval mode.
        family: Its `Family`.
        lm_head: Its head.
        folder: The model's folder, which may contain ``generation_config.json``.
        x: Inputs with ``input_ids`` and ``attention_mask`` ``(B, T)``.
        max_new_tokens: Maximum number of generated tokens; fewer if the model's context is full.
        num_beams: Number of beams; 1 is greedy search.
        begin: First generated token, under the library's names for it; ``None`` for the model's.

    Returns:
        Generated tokens ``(B, S)``, padded after their end.

    Raises:
        ConfigError: The model has bidirectional attention and cannot generate; or the text fills its context.
    """
    from transformers import GenerationConfig
    from transformers import utils as library

    assert isinstance(lm_head, LMHead)
    if family.attention == "bidirectional":
        raise ConfigError(f"Expected a model that generates text but got one of type '{net.config.model_type}'.")
    shell = _around(net, family, lm_head)
    said = GenerationConfig.from_pretrained(folder) if (folder / SAID).is_file() else None
    shell.generation_config = said or shell.generation_config
    if shell.generation_config.pad_token_id is None:
        shell.generation_config.pad_token_id = padding_of(shell.generation_config)
    tokens, mask = x["input_ids"], x["attention_mask"]
    if family.attention == "causal":
        tokens, mask = _leaned_right(tokens, mask)
    begun = tokens.shape[1] if family.attention == "causal" else 1
    most = getattr(net.config, "max_position_embeddings", None) or begun + max_new_tokens
    if most <= begun:
        raise ConfigError(
            f"Expected a text of fewer than {most} tokens to continue, since the model sees no more, but got one of "
            f"{begun}: shorten it."
        )
    logging: Library = library.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        options = {"max_new_tokens": min(max_new_tokens, most - begun), "num_beams": num_beams, "do_sample": False}
        written: Tensor = shell.generate(tokens, attention_mask=mask, **options, **(begin or {}))
    finally:
        logging.set_verbosity(level)
    return written[:, tokens.shape[1] :] if family.attention == "causal" else written


def padding_of(config: Library) -> int:
    """Return the padding token of a model that names none: its end token."""
    end = config.eos_token_id
    return int(next((e for e in (end if isinstance(end, list) else [end]) if e is not None), 0))


def _shell(config: Library, family: Family) -> Library:
    """Build the library's model with its head on the meta device, without any weights."""
    import transformers

    library: Library = getattr(transformers, LIBRARY[family.attention])
    try:
        with torch.device("meta"):
            return library.from_config(config, trust_remote_code=False)
    except ValueError as error:
        raise ConfigError(
            f"Expected a model with a language-modelling head but got one of type '{config.model_type}'."
        ) from error


def _tied(shell: Library, config: Library, names: list[str]) -> dict[str, str]:
    """Return the head's tied weights: their names, and the names of the weights that they share."""
    # The library claims that T5 always ties them; the published weights of version 1.1 neither tie nor scale.
    if getattr(config, "scale_decoder_outputs", True) is False:
        return {}
    tied = shell.all_tied_weights_keys
    return {target: source for target, source in tied.items() if target.partition(".")[0] in names}


def _there(net: Library, name: str) -> bool:
    """Return whether a model has a member or a tensor of that name."""
    module = net
    for part in name.split("."):
        module = getattr(module, part, None)
        if module is None:
            return False
    return True


def _read(files: Iterable[Path], begin: tuple[str, ...]) -> dict[str, Tensor]:
    """Read the tensors of files whose names start with one of the prefixes."""
    found = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                if name.startswith(begin):
                    renamed = name
                    for old, new in _OLDER:
                        renamed = renamed.replace(old, new)
                    found[renamed] = tensors.get_tensor(name)
    return found


def _around(net: Library, family: Family, lm_head: LMHead) -> Library:
    """Build the library's model from the backbone's and the head's modules, without copying weights."""
    shell = _shell(net.config, family)
    if family.attention == "encoder_decoder":
        base: Library = getattr(shell, shell.base_model_prefix, shell)
        own = net.get_input_embeddings()
        for stack in (net.encoder, net.decoder):
            theirs = base.encoder if stack is net.encoder else base.decoder
            for name, child in stack.named_children():
                assign("transformers", theirs, name, child)
            if stack.embed_tokens is None:
                assign("transformers", theirs.embed_tokens, "weight", own.weight)
        if _there(base, "shared"):
            assign("transformers", base.shared, "weight", own.weight)
    else:
        assign("transformers", shell, shell.base_model_prefix, net)
    for name, part in lm_head.parts.items():
        assign("transformers", shell, name, part)
    if _there(shell, BIAS):
        shell.register_buffer(BIAS, lm_head.get_buffer(BIAS))
    left = [n for n, t in chain(shell.named_parameters(), shell.named_buffers()) if t.is_meta]
    assert not left, left
    return shell.eval()


def _leaned_right(tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move padding from the end of texts ``(B, T)`` to the start, where a decoder that continues them needs it."""
    length = tokens.shape[1]
    places = (torch.arange(length, device=tokens.device) + mask.sum(1, keepdim=True)) % length
    return tokens.gather(1, places), mask.gather(1, places)

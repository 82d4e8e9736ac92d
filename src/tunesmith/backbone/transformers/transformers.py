"""Load language models of Hugging Face transformers by name or folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tunesmith.backbone.base import DEFAULT, Backbone
from tunesmith.backbone.transformers.lm_head import SAID, LMHead, write
from tunesmith.backbone.transformers.source import digest, find_model, tokenizer_files
from tunesmith.backbone.weights import content_hash, load_weights
from tunesmith.compat.required import assign
from tunesmith.contract.batch import Activations, Inputs
from tunesmith.contract.features import Features, Needs, Stage
from tunesmith.contract.protocols import Weights
from tunesmith.errors import ConfigError, MissingExtraError, WeightsError
from tunesmith.modality.text import TextPreprocess

if TYPE_CHECKING:
    from tunesmith.backbone.transformers.family import Family, Library, State

HEADS = ("cls.", "pooler.", "lm_head.", "classifier.", "score.", "qa_outputs.", "classification_head.", "generator_")
"""Prefixes of tensors outside the backbone: heads of pretraining and of other tasks."""

UNBOUNDED = 512
"""Maximum number of tokens for a model that states no limit."""


class Transformers(Backbone[Mapping[str, Tensor]]):
    """A language model of transformers: an encoder, a decoder, or an encoder-decoder.

    Encoders: BERT, MiniLM, RoBERTa, DistilBERT, DeBERTa, ELECTRA. Decoders: GPT-2, Llama, Qwen, Mistral.
    Encoder-decoders: T5, BART, mBART, Marian.

    The stages are ``embeddings``, one per block (``block.0``, …; ``encoder.0``, …, ``decoder.0``, …) and the final norm
    (``norm``) if the model has one. Weights are read only from safetensors, and code that comes with a model is never
    run.

    Args:
        name: A folder with ``config.json`` and the tokenizer's files, ``package:minilm``, or a name on the Hub, which
            is only queried if its local cache does not have the model.
        weights: ``pretrained`` (those in the model's folder), a .safetensors file, or ``None`` for random ones.
        pooling: How to pool a text's tokens: their mean, the first (``cls``) or the ``last``. ``auto`` takes the last
            token of decoders, where no other has seen the whole text, and the mean for encoders.
        strict: Reject weights with missing tensors, and files with unknown ones.

    Raises:
        MissingExtraError: The library, or the package that contains the model, is not installed.
        ConfigError: There is no such model, or it is of another family.
        WeightsError: The weights cannot be found, read or matched.
    """

    def __init__(
        self,
        name: str = "package:minilm",
        weights: str | None = "pretrained",
        pooling: Literal["auto", "mean", "cls", "last"] = "auto",
        strict: bool = True,
    ) -> None:
        if pooling not in ("auto", "mean", "cls", "last"):
            raise ConfigError(f"Expected backbone.pooling to be auto, mean, cls or last but got '{pooling}'.")
        folder = find_model(name)
        config, family = _configured(folder)
        if pooling == "cls" and family.attention == "causal":
            raise ConfigError(
                "Expected backbone.pooling to be last or mean for a decoder, whose first token sees no other, but got "
                "cls."
            )
        net, found = _pretrained(folder, config, strict) if weights == "pretrained" else (_random(config), None)
        net = _without_heads(net)
        self._family, self._folder, self._source = family, folder, weights
        self._frozen: frozenset[str] = frozenset()
        self._pooling = pooling if pooling != "auto" else "last" if family.last else "mean"
        super().__init__(
            net=net,
            stages=family.stages(net),
            feature_dim=config.hidden_size,
            preprocess=TextPreprocess(
                name, str(folder), digest(folder), _most_tokens(config), config.vocab_size, family.attention
            ),
            weights=found or load_weights(net, weights, classifier=HEADS, adapt=partial(_renamed, net), strict=strict),
        )

    @property
    def files(self) -> list[Path]:
        """The model's configuration, its generation settings, and its tokenizer's files."""
        folder = self._folder
        return [folder / "config.json", *folder.glob(SAID), *tokenizer_files(folder)]

    @property
    def apart(self) -> bool:
        """Whether no stage uses another stage's weights."""
        return self._family.apart

    def run_stage(self, stage: Stage, x: Mapping[str, Tensor]) -> State:
        """Run one stage as the model's own forward pass does."""
        return self._family.run(self.net, stage, x, self._frozen)

    def forward(self, x: Inputs | Activations, frozen: int = 0, needs: Needs = DEFAULT) -> Features:
        """Map tokens to features; see `Backbone.forward`."""
        self._frozen = frozenset(stage.name for stage in self.stages[:frozen])
        try:
            return super().forward(x, frozen, needs)
        finally:
            self._frozen = frozenset()

    def lm_head(self) -> LMHead:
        """Build the head that the model was pretrained with, with its weights if the model has them.

        Raises:
            ConfigError: The library has no such head for the model.
            WeightsError: The weights contradict the model's configuration.
        """
        files = sorted(self._folder.glob("*.safetensors")) if self._source == "pretrained" else []
        if self._source not in (None, "pretrained"):
            files = [Path(self._source).expanduser()]
        return LMHead(self.net, self._family, files)

    def write(
        self,
        lm_head: nn.Module,
        x: Mapping[str, Tensor],
        *,
        max_new_tokens: int = 64,
        num_beams: int = 1,
        begin: Mapping[str, int] | None = None,
    ) -> Tensor:
        """Generate tokens ``(B, S)`` that continue or convert texts; see `lm_head.write`."""
        return write(self.net, self._family, lm_head, self._folder, x, max_new_tokens, num_beams, begin)

    def pool(self, x: Mapping[str, Tensor]) -> Tensor:
        """Pool the last stage's tokens."""
        return self.pool_stage(x)

    def tokens(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the last stage's tokens ``(B, T, D)``, and which of them count ``(B, T)``."""
        return x["hidden"], _counted(x)

    def pool_stage(self, x: Mapping[str, Tensor]) -> Tensor:
        """Pool a stage's tokens ``(B, T, D)`` to ``(B, D)``."""
        hidden, mask = x["hidden"], _counted(x)
        if self._pooling == "cls":
            return hidden[:, 0]
        if self._pooling == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        counted = mask.unsqueeze(2).to(hidden.dtype)
        return (hidden * counted).sum(1) / counted.sum(1)


def _counted(x: Mapping[str, Tensor]) -> Tensor:
    """Return the mask of the current tokens ``(B, T)``; in a decoder, of those that it reads."""
    return x["target_mask"] if "memory" in x and "target_mask" in x else x["mask"]


def _configured(folder: Path) -> tuple[Library, Family]:
    """Return the model's configuration and its family."""
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise MissingExtraError("transformers", "text") from error
    from tunesmith.backbone.transformers.families import FAMILIES

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"Expected a model in {folder} but its config.json cannot be used: {line}") from error
    family = next((family for family in FAMILIES if config.model_type in family.types), None)
    if family is None:
        known = ", ".join(kind for family in FAMILIES for kind in family.types)
        raise ConfigError(f"Expected a model of type {known} but the one in {folder} is of type '{config.model_type}'.")
    return config, family


def _random(config: Library) -> Library:
    from transformers import AutoModel

    library: Library = AutoModel
    return library.from_config(config, trust_remote_code=False)


def _pretrained(folder: Path, config: Library, strict: bool) -> tuple[Library, Weights]:
    """Load the model with the weights in its folder; the library translates older names."""
    from transformers import AutoModel
    from transformers import utils as library

    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"Expected weights as .safetensors in {folder} but found none; other files could run code: convert them, "
            "or use backbone.weights=null for random ones."
        )
    logging: Library = library.logging
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        net, info = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except (RuntimeError, ValueError, OSError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"Expected weights that fit the model in {folder} but got: {line}") from error
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
    constant = _constant(config)
    for name in constant:
        net.get_parameter(name).requires_grad_(False)
    missing = sorted(name for name in info["missing_keys"] - constant if not name.startswith(HEADS))
    if missing and strict:
        raise WeightsError(
            f"Expected all weights of the model in {folder} but {len(missing)} are missing ({', '.join(missing[:3])}): "
            "fetch it again, or use backbone.strict=false to start with random ones."
        )
    own = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith(HEADS)}
    ignored = tuple(sorted(info["unexpected_keys"]))
    return net, Weights("pretrained", content_hash(own), len(own) - len(missing), ignored, tuple(missing))


def _constant(config: Library) -> set[str]:
    """Return the names of tables that the library computes and never trains; files may lack them.

    Loading makes the library forget which they are.
    """
    with torch.device("meta"):
        return {name for name, parameter in _random(config).named_parameters() if not parameter.requires_grad}


def _without_heads(net: Library) -> Library:
    """Remove what our tasks do not use, and second names of shared embeddings: each weight has one name here.

    Tables that the library keeps constant, such as sinusoidal positions, become buffers, which no policy trains.
    """
    if getattr(net, "pooler", None) is not None:
        assign("transformers", net, "pooler", None)
    if hasattr(net, "shared"):
        assign("transformers", net.decoder, "embed_tokens", None)
        # The library looks for the embeddings under either name; Marian's are in its encoder.
        if net.config.model_type == "marian":
            assign("transformers", net, "shared", None)
        else:
            assign("transformers", net.encoder, "embed_tokens", None)
    for name, parameter in list(net.named_parameters()):
        if not parameter.requires_grad:
            owner, _, leaf = name.rpartition(".")
            delattr(net.get_submodule(owner), leaf)
            net.get_submodule(owner).register_buffer(leaf, parameter.data)
    return net.train()


def _renamed(net: Library, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix from the names of a backbone that was saved with a head."""
    return {name.removeprefix(f"{net.base_model_prefix}."): tensor for name, tensor in tensors.items()}


def _most_tokens(config: Library) -> int:
    most = getattr(config, "max_position_embeddings", None) or UNBOUNDED
    # RoBERTa counts positions from after that of the padding.
    return int(most - config.pad_token_id - 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else most)

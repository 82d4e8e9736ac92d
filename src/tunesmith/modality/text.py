"""Define the modality of texts: single texts, pairs, or lists of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from tunesmith.contract.preprocess import Preprocess
from tunesmith.modality.base import Modality


@final
@dataclass(frozen=True)
class TextPreprocess:
    """How texts must be prepared for a backbone.

    Attributes:
        tokenizer: Name of the tokenizer's model, as the user gave it.
        folder: Folder of its files on this machine.
        digest: Digest of these files.
        max_length: Maximum number of tokens per text, with those that mark its begin and end; longer texts are cut.
        vocabulary: Number of tokens in the backbone's vocabulary.
        attention: Whether a token attends to all others, to those before it, or also to an encoder's output.
        languages: Codes of source and target language, if the tokenizer marks texts with them.
    """

    modality: ClassVar[str] = "text"

    tokenizer: str
    folder: str
    digest: str
    max_length: int
    vocabulary: int
    attention: Literal["bidirectional", "causal", "encoder_decoder"] = "bidirectional"
    languages: tuple[str, ...] = ()

    def check(self) -> None:
        """Accept any tokenizer."""

    def blank(self, count: int, like: Tensor) -> dict[str, Tensor]:
        """Return texts of two tokens ``(B, 2)``."""
        ones = torch.ones(count, 2, dtype=torch.int64, device=like.device)
        return {"input_ids": ones, "attention_mask": ones}

    def map_side(self) -> None:
        """Return nothing: texts have no maps."""

    def backbone_options(self) -> dict[str, object]:
        """Return no options: the model's folder has them all."""
        return {}


@final
class TextModality(Modality):
    """Text samples: tuples of one text, of the two texts of a pair, or of the words of a text."""

    name = "text"
    plural = "texts"
    column = "text"
    backbone = "backbone=transformers, such as backbone.name=package:minilm"

    def own(self, preprocess: Preprocess) -> TextPreprocess:
        """Return a backbone's preprocessing of texts.

        Raises:
            ConfigError: The backbone is for another modality.
        """
        self.check_backbone(preprocess)
        assert isinstance(preprocess, TextPreprocess)
        return preprocess

    def channels(self, channels: int) -> int:
        """Return 0: texts have no channels."""
        return 0

    def files(self, samples: Sequence[object]) -> list[Path]:
        """Return no files: texts are read with their table."""
        return []

    def content(self, sample: object, whole: bool, head: int) -> bytes:
        """Return the texts."""
        return repr(sample).encode()

    def restored(self, values: Mapping[str, object]) -> None:
        """Return ``None``: only the backbone knows where the tokenizer's files are."""
        return

    def gallery(self, mistakes: Sequence[tuple[str, object]], wandb: ModuleType) -> object:
        """Make a W&B table of texts and captions."""
        return wandb.Table(columns=["text", "mistake"], data=[[text, caption] for caption, text in mistakes])


MODALITY = TextModality()

"""Texts, pairs of texts, or words."""

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
        tokenizer: Name of the model whose tokenizer it is; as the user named it.
        folder: Where its files are on this machine.
        digest: Of these files.
        max_length: Most tokens of a text, those that mark its begin and end included; longer ones are cut.
        vocabulary: Number of tokens that the backbone knows.
        attention: Whether a token sees all others, only those before it, or what stands in another stack as well.
        languages: Codes of the languages that are read and written, where the tokenizer marks texts with them.
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
        """Believe a tokenizer."""

    def blank(self, count: int, like: Tensor) -> dict[str, Tensor]:
        """So many texts of two tokens ``(B, 2)``."""
        ones = torch.ones(count, 2, dtype=torch.int64, device=like.device)
        return {"input_ids": ones, "attention_mask": ones}

    def map_side(self) -> None:
        """Return nothing: texts have no maps."""

    def backbone_options(self) -> dict[str, object]:
        """None: a model's folder says all of it."""
        return {}


@final
class TextModality(Modality):
    """Samples are tuples: a text, the two texts of a pair, or the words of a text."""

    name = "text"
    plural = "texts"
    column = "text"
    backbone = "backbone=transformers, such as backbone.name=package:minilm"

    def own(self, preprocess: Preprocess) -> TextPreprocess:
        """What a backbone says of preparing texts.

        Raises:
            ConfigError: It is for another modality.
        """
        self.check_backbone(preprocess)
        assert isinstance(preprocess, TextPreprocess)
        return preprocess

    def channels(self, channels: int) -> int:
        """None."""
        return 0

    def files(self, samples: Sequence[object]) -> list[Path]:
        """None: texts are read with their table."""
        return []

    def content(self, sample: object, whole: bool, head: int) -> bytes:
        """The texts."""
        return repr(sample).encode()

    def restored(self, values: Mapping[str, object]) -> None:
        """Nothing: where a tokenizer's files lie is for the backbone to say."""
        return

    def gallery(self, mistakes: Sequence[tuple[str, object]], wandb: ModuleType) -> object:
        """A table of texts and captions."""
        return wandb.Table(columns=["text", "mistake"], data=[[text, caption] for caption, text in mistakes])


MODALITY = TextModality()

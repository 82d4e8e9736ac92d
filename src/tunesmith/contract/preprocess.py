"""How a backbone wants its inputs prepared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Preprocess:
    """How images must be prepared for a backbone, taken from its weights.

    Attributes:
        size: Height and width in pixels of what the backbone sees.
        interpolation: ``bilinear``, ``bicubic`` or ``nearest``, as torchvision names them.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.
    """

    size: int = 224
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @property
    def channels(self) -> int:
        """Channels that the backbone expects."""
        return len(self.mean)


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

    tokenizer: str
    folder: str
    digest: str
    max_length: int
    vocabulary: int
    attention: Literal["bidirectional", "causal", "encoder_decoder"] = "bidirectional"
    languages: tuple[str, ...] = ()

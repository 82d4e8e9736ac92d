"""Describe how a backbone wants its inputs prepared, whatever the modality."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.contract.batch import Inputs


class Preprocess(Protocol):
    """Describe how to prepare samples: a frozen dataclass of plain values, recorded in run.json.

    Each modality has its own, such as `tunesmith.modality.image.ImagePreprocess`.

    Attributes:
        modality: Name of the modality.
    """

    modality: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[object]]]

    @property
    def attention(self) -> str:
        """Return which tokens a token attends to, as in `TextPreprocess`; empty without text tokens."""

    def check(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A number is out of range.
        """

    def blank(self, count: int, like: Tensor) -> Inputs:
        """Return ``count`` blank inputs on the device of a tensor and, unless they are indices, with its dtype."""

    def map_side(self) -> int | None:
        """Return height and width of the inputs of unpooled maps; ``None`` for a modality without maps."""

    def backbone_options(self) -> Mapping[str, object]:
        """Return the backbone's arguments that a weights file does not contain."""

"""How a backbone wants its inputs prepared, whatever the modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.contract.batch import Inputs


class Preprocess(Protocol):
    """How samples must be prepared: a frozen dataclass of plain values, which run.json records.

    Each modality has its own, such as `tunesmith.modality.image.ImagePreprocess`.

    Attributes:
        modality: Name of the modality.
    """

    modality: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def attention(self) -> str:
        """Which tokens a token sees, as `TextPreprocess` has it; empty for a modality without tokens of texts."""
        ...

    def check(self) -> None:
        """Refuse what no backbone can want.

        Raises:
            ConfigError: A number is out of range.
        """
        ...

    def blank(self, count: int, like: Tensor) -> Inputs:
        """Inputs of nothing, so many, on the device of a tensor and, where they are no indices, of its dtype."""
        ...

    def map_side(self) -> int | None:
        """Height and width of what unpooled maps are of; ``None`` for a modality without maps."""
        ...

    def backbone_options(self) -> Mapping[str, Any]:
        """Arguments of a backbone that a file of weights does not say."""
        ...

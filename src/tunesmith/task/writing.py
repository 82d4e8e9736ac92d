"""How texts are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunesmith.errors import ConfigError


@dataclass(frozen=True)
class Writing:
    """How texts are written, without chance: the most probable token after another, or the best of some beams.

    Attributes:
        max_new_tokens: Most tokens that are written of a text.
        num_beams: Beginnings that are followed at once; 1 is the most probable token each time.
        samples: Texts of validation that are written after every epoch, the first ones of the split; 0 for none, and
            ``None`` for all. A test writes all.

    Raises:
        ConfigError: A number is out of range.
    """

    max_new_tokens: int = 64
    num_beams: int = 1
    samples: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("max_new_tokens", 1), ("num_beams", 1), ("samples", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"Expected task.generate.{name} to be at least {least} but got {value}.")

    def options(self) -> dict[str, Any]:
        """For `Backbone.write`."""
        return {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams}

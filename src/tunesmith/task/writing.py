"""Configure text generation."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.errors import ConfigError


@dataclass(frozen=True)
class Writing:
    """How to generate texts, without sampling: greedy or beam search.

    Attributes:
        max_new_tokens: Maximum number of generated tokens per text.
        num_beams: Number of beams; 1 is greedy search.
        samples: Number of validation texts to generate after every epoch, the first ones of the split; 0 for none,
            ``None`` for all. A test generates all.

    Raises:
        ConfigError: A number is out of range.
    """

    max_new_tokens: int = 64
    num_beams: int = 1
    samples: int | None = None

    def __post_init__(self) -> None:
        numbers = (("max_new_tokens", self.max_new_tokens, 1), ("num_beams", self.num_beams, 1))
        for name, value, least in (*numbers, ("samples", self.samples or 0, 0)):
            if value < least:
                raise ConfigError(f"Expected task.generate.{name} to be at least {least} but got {value}.")

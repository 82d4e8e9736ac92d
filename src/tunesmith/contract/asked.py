"""What a prediction is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """What to predict on.

    Attributes:
        samples: Files, or texts.
        names: What they are called in the saved table.
        column: What the first column of that table is called, such as ``file``.
        skipped: Name of each sample that is left out, and why, by its row in that table.
    """

    samples: Sequence[Any]
    names: list[str]
    column: str
    skipped: Mapping[int, tuple[str, str]] = field(default_factory=dict)

"""Describe the samples that a prediction was requested for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """The samples to predict on.

    Attributes:
        samples: Files or texts.
        names: Their names in the saved table.
        column: Name of that table's first column, such as ``file``.
        skipped: Name of each skipped sample and the reason, by its row in that table.
    """

    samples: Sequence[object]
    names: list[str]
    column: str
    skipped: Mapping[int, tuple[str, str]] = field(default_factory=dict)

"""Describe a finding in the data: its kind, its level, one sentence, and the images concerned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""In order: stops a training run; makes its numbers doubtful; worth knowing."""


@dataclass(frozen=True)
class Item:
    """One occurrence of a finding.

    Attributes:
        rows: Images concerned, as rows of the table; the first is shown first.
        detail: What was found, in a few words.
    """

    rows: tuple[int, ...]
    detail: str


@dataclass(frozen=True)
class Finding:
    """All occurrences of one kind.

    Attributes:
        kind: One or two words, such as ``truncated``.
        level: How serious it is.
        text: What it means and what to do about it, in one sentence.
        items: Occurrences, at least one.
    """

    kind: str
    level: Level
    text: str
    items: tuple[Item, ...]

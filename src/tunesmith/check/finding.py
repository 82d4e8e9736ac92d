"""What is found in data: a kind, how bad it is, one sentence, and the images it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""From what stops a training run, over what makes its numbers doubtful, to what one should know."""


@dataclass(frozen=True)
class Item:
    """One thing that was found.

    Attributes:
        rows: The images it is about, as rows of the table; the first is shown first.
        detail: What is found of them, in a few words.
    """

    rows: tuple[int, ...]
    detail: str


@dataclass(frozen=True)
class Finding:
    """All that was found of one kind.

    Attributes:
        kind: In one or two words, such as ``truncated``.
        level: How bad it is.
        text: What it means and what can be done, in one sentence.
        items: One or more.
    """

    kind: str
    level: Level
    text: str
    items: tuple[Item, ...]

"""Records of what flows between rooms, read again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def restore(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a frozen dataclass of what JSON kept of it: lists become tuples again, what is not its own is left out."""
    own = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # of any dataclass
    kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in own}
    return kind(**kept)

"""Restore records of what flows between rooms from JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def restore(kind: type[T], values: Mapping[str, object]) -> T:
    """Build a frozen dataclass from its JSON record: lists become tuples, and unknown keys are ignored."""
    own = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # of any dataclass
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in own})

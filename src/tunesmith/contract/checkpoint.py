"""The type of a checkpoint in memory."""

from __future__ import annotations

from typing import Any, TypeAlias

Checkpoint: TypeAlias = "dict[str, Any]"
"""A checkpoint as Lightning passes it to hooks and torch loads it: tensors and plain containers by name."""

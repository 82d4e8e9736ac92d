"""Name the type of plain data: what JSON and YAML files hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

PlainData: TypeAlias = Mapping[str, Any]
"""A mapping as read from a JSON or YAML file. Its values are texts, numbers, lists or mappings, as the file has them:
only the reader of a key knows the type, so this is for the function that reads them, and goes no further."""

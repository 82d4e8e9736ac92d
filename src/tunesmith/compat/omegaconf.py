"""Look at OmegaConf's nodes as they are written, before any reference is resolved; its own access resolves them."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import Container, DictConfig, ListConfig, Node, OmegaConf

from tunesmith.compat.required import require

require("omegaconf", Node, "_is_interpolation", "_is_missing", "_is_none", "_value")
require("omegaconf", Node, "_get_parent", "_key", "_set_parent", "_set_key")
for _kind in (DictConfig, ListConfig):
    require("omegaconf", _kind, "_get_node")


def child(container: Container, key: Any) -> Any:
    """Get the node under a key or an index, a value's node included; ``None`` where there is none."""
    return container._get_node(key)


def raw(node: Node) -> Any:
    """Get the value of a node as it is written: of a reference its text."""
    return node._value()


def reference(container: Container, key: Any) -> str | None:
    """Get the path that a value is a reference to, as a whole; ``None`` where it is none."""
    value = child(container, key)
    match = re.fullmatch(r"\$\{([\w.]+)\}", str(raw(value))) if isinstance(value, Node) else None
    return match[1] if match else None


def is_missing(node: Node) -> bool:
    """Whether a node is written ``???``."""
    return node._is_missing()


def is_reference(node: Node) -> bool:
    """Whether a node is written ``${…}``, or holds such a part."""
    return node._is_interpolation()


def is_leaf(node: Node) -> bool:
    """Whether a container has no children to look at: it is null, missing or a reference."""
    return node._is_none() or node._is_missing() or node._is_interpolation()


def contents(cfg: DictConfig, resolve: bool = True, throw_on_missing: bool = False) -> dict[str, object]:
    """Convert a configuration to plain containers, with text as keys.

    Raises:
        MissingMandatoryValue: A value is missing, and ``throw_on_missing`` is set.
    """
    found = OmegaConf.to_container(cfg, resolve=resolve, throw_on_missing=throw_on_missing)
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def copied(node: DictConfig) -> DictConfig:
    """Copy a node so that the copy stands where the node stands, and resolves its references as the node does."""
    copy = node.copy()
    copy._set_parent(node._get_parent())
    copy._set_key(node._key())
    return copy

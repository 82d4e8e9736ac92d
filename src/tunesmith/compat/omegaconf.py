"""Read OmegaConf's nodes as written; its own access would resolve references."""

from __future__ import annotations

import re

from omegaconf import Container, DictConfig, ListConfig, Node, OmegaConf

from tunesmith.compat.required import require

require("omegaconf", Node, "_is_interpolation", "_is_missing", "_is_none", "_value")
require("omegaconf", Node, "_get_parent", "_key", "_set_parent", "_set_key")
for _kind in (DictConfig, ListConfig):
    require("omegaconf", _kind, "_get_node")


def plain(cfg: DictConfig, resolve: bool = False, throw_on_missing: bool = False) -> dict[str, object]:
    """Convert a configuration to plain containers with text as keys, references resolved if asked for.

    Raises:
        MissingMandatoryValue: A value is missing, and ``throw_on_missing`` is set.
    """
    found = OmegaConf.to_container(cfg, resolve=resolve, throw_on_missing=throw_on_missing)
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def child(container: Container, key: object) -> Node | None:
    """Return the node under a key or an index; ``None`` if there is none."""
    found = container._get_node(key)
    return found if isinstance(found, Node) else None


def raw(node: Node | None) -> object:
    """Return a node's value as written: for a reference, its text."""
    return None if node is None else node._value()


def reference(container: Container, key: object) -> str | None:
    """Return the path that a value refers to as a whole; ``None`` if it is not a reference."""
    value = child(container, key)
    match = re.fullmatch(r"\$\{([\w.]+)\}", str(raw(value))) if isinstance(value, Node) else None
    return match[1] if match else None


def is_missing(node: Node | None) -> bool:
    """Return whether a node is written ``???``."""
    return node is not None and node._is_missing()


def is_reference(node: Node) -> bool:
    """Return whether a node is written ``${…}`` or contains such a part."""
    return node._is_interpolation()


def is_leaf(node: Node) -> bool:
    """Return whether a container has no children: it is null, missing or a reference."""
    return node._is_none() or node._is_missing() or node._is_interpolation()


def copied(node: DictConfig) -> DictConfig:
    """Copy a node with its parent and key, so that the copy resolves references as the node does."""
    copy = node.copy()
    copy._set_parent(node._get_parent())
    copy._set_key(node._key())
    return copy

"""Build what a configuration names: the one place where a name becomes an object, behind the gate."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, flag_override

from tunesmith.compat.omegaconf import copied
from tunesmith.config import gate
from tunesmith.config.check import signature
from tunesmith.config.check.check import SPECIAL


def build(node: DictConfig | Mapping[str, Any] | None, **supplied: Any) -> Any:
    """Build the object that a node describes, as Hydra's `instantiate` would.

    Every reference is resolved first; the gate and the building then see the same plain data, in which nothing is left
    that could turn into another node. (Hydra resolves as it builds: an escaped reference becomes one on the way.)

    Args:
        node: With ``_target_`` and its arguments; interpolations are resolved in its configuration.
        **supplied: Arguments that the configuration cannot hold; they win over the node's, and reach
            the target as they are. ``_recursive_=False`` is Hydra's: the target gets the nodes below as plain
            containers.

    Returns:
        What the target returns; a partial where the node says ``_partial_: true``; ``None`` for an empty node.

    Raises:
        ConfigError: A target, at whatever depth, does not pass the gate.
    """
    if not node:
        return None
    recursive = supplied.pop("_recursive_", True)
    plain = _plain(node, supplied)
    gate.require(plain)
    return _make({"_recursive_": recursive, **plain}, supplied)


def _plain(node: DictConfig | Mapping[str, Any], without: Iterable[str]) -> dict[str, Any]:
    """A node as plain data, its references resolved, without the arguments that code supplies."""
    config = node if isinstance(node, DictConfig) else OmegaConf.create(dict(node))
    config = copied(config)
    with flag_override(config, ["struct", "readonly"], False):
        for name in without:
            config.pop(name, None)
    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return {str(name): value for name, value in plain.items()}


def _make(value: Any, supplied: Mapping[str, Any] = MappingProxyType({})) -> Any:
    if isinstance(value, list):
        return [_make(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "_target_" not in value:
        return {key: _make(item) for key, item in value.items()}
    given = {key: item for key, item in value.items() if key not in SPECIAL}
    positional = value.get("_args_", [])
    if value.get("_recursive_", True):
        given, positional = {key: _make(item) for key, item in given.items()}, _make(positional)
    call = functools.partial(get_object(value["_target_"]), *positional, **given, **supplied)
    return call if value.get("_partial_", False) else call()


def accepts(node: DictConfig | Mapping[str, Any] | None, name: str) -> bool:
    """Whether the target of a node names an argument ``name``; read from its source, without importing it."""
    return node is not None and name in signature.read(node["_target_"]).parameters


def build_accepted(node: DictConfig | Mapping[str, Any] | None, **offered: Any) -> Any:
    """Build as `build` does, supplying of what is offered only the arguments that the target names."""
    return build(node, **{name: value for name, value in offered.items() if accepts(node, name)})


def target(node: DictConfig | Mapping[str, Any]) -> Any:
    """Import what a node's ``_target_`` names, without calling it.

    Raises:
        ConfigError: It does not pass the gate.
    """
    gate.require({"_target_": node["_target_"]})
    return get_object(node["_target_"])

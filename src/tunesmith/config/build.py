"""Build the objects that a configuration describes: the one place where a name becomes an object, behind the gate."""

from __future__ import annotations

import copy
import functools
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, flag_override

from tunesmith.compat.omegaconf import copied, plain
from tunesmith.config import gate
from tunesmith.config.check import signature
from tunesmith.config.check.check import SPECIAL
from tunesmith.config.gate import Trust


class Node(dict[str, Any]):
    """A node as plain data, every reference in it resolved; `build` makes of it what it makes of the configuration's.

    It is resolved once and never again: a text that looks like a reference stays a text.
    """

    def having(self, **values: object) -> Node:
        """Give a copy with other values."""
        return Node({**self, **values})


def resolved(node: DictConfig | Mapping[str, object] | None) -> Node:
    """Resolve a node of the configuration; gives an empty one where there is none.

    Raises:
        MissingMandatoryValue: A value that must be given is missing.
    """
    return Node(_plain(node, ())) if node else Node()


def build(node: DictConfig | Mapping[str, object] | None, trust: Trust | None = None, /, **supplied: object) -> Any:
    """Build the object that a node describes, as Hydra's `instantiate` would.

    All interpolations are resolved first, so that the gate checks exactly the plain data that is then built, and
    nothing in it can turn into another node. (Hydra resolves while building, which can bring an escaped interpolation
    to life.)

    Args:
        node: With ``_target_`` and its arguments; interpolations are resolved in its configuration.
        trust: What the command may import; ``None`` for what the user allows whatever the command.
        **supplied: Arguments that the configuration cannot hold; they win over the node's, and reach
            the target as they are. ``_recursive_=False`` is Hydra's: the target gets the nodes below as plain
            containers.

    Returns:
        The target's result; a partial if the node has ``_partial_: true``; ``None`` for an empty node.

    Raises:
        ConfigError: A target at any depth does not pass the gate.
    """
    if not node:
        return None
    recursive = supplied.pop("_recursive_", True)
    described = _plain(node, supplied)
    (trust or gate.trust()).require(described)
    return _make({"_recursive_": recursive, **described}, supplied)


def _plain(node: DictConfig | Mapping[str, object], without: Collection[str]) -> dict[str, object]:
    """Convert a node to plain data, with references resolved and without the arguments that code supplies."""
    if isinstance(node, Node):
        return copy.deepcopy({name: value for name, value in node.items() if name not in without})
    config = node if isinstance(node, DictConfig) else OmegaConf.create(dict(node))
    config = copied(config)
    with flag_override(config, ["struct", "readonly"], False):
        for name in without:
            config.pop(name, None)
    return plain(config, resolve=True, throw_on_missing=True)


def _make(value: object, supplied: Mapping[str, object] = MappingProxyType({})) -> object:
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


def accepts(node: DictConfig | Mapping[str, object] | None, name: str, trust: Trust | None = None) -> bool:
    """Return whether a node's target has an argument ``name``, read from its source without importing it."""
    if not node:
        return False
    return name in signature.read(str(node["_target_"]), trust or gate.trust()).parameters


def build_accepted(
    node: DictConfig | Mapping[str, object] | None, trust: Trust | None = None, /, **offered: object
) -> Any:
    """Build like `build`, supplying only those offered arguments that the target accepts."""
    return build(node, trust, **{name: value for name, value in offered.items() if accepts(node, name, trust)})


def target(node: DictConfig | Mapping[str, object], trust: Trust | None = None) -> Any:
    """Import a node's ``_target_`` without calling it.

    Raises:
        ConfigError: It does not pass the gate.
    """
    (trust or gate.trust()).require({"_target_": node["_target_"]})
    return get_object(str(node["_target_"]))

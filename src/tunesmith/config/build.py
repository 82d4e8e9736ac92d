"""Build what a configuration names: the one place that calls Hydra's `instantiate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from tunesmith.config import signature
from tunesmith.errors import TunesmithError


def build(node: DictConfig | Mapping[str, Any] | None, **supplied: Any) -> Any:
    """Build the object that a node describes.

    Args:
        node: With ``_target_`` and its arguments; interpolations are resolved in its configuration.
        **supplied: Arguments that the configuration cannot hold; they win over the node's, and reach
            the target as they are. ``_recursive_=False`` is Hydra's: the target gets the nodes below as plain
            containers.

    Returns:
        What the target returns; a partial where the node says ``_partial_: true``; ``None`` for an empty node.

    Raises:
        TunesmithError: The target raised it, at whatever depth.
    """
    if not node:
        return None
    recursive = supplied.pop("_recursive_", True)
    config = node if isinstance(node, DictConfig) else OmegaConf.create(dict(node))
    stays_partial = bool(config.get("_partial_", False))
    if any(name in config for name in supplied):
        parent, key = config._get_parent(), config._key()
        config = config.copy()
        config._set_parent(parent)
        config._set_key(key)
        OmegaConf.set_struct(config, False)
        for name in supplied:
            config.pop(name, None)
    try:
        # Supplied objects are given to the partial, so that they never pass through OmegaConf, which would copy them,
        # and so that an error of the target itself comes out undisguised.
        partial = instantiate(config, _partial_=True, _convert_="all", _recursive_=recursive)
    except InstantiationException as error:
        for cause in _causes(error):
            if isinstance(cause, TunesmithError):
                raise cause from None
        raise
    return _with(partial, supplied) if stays_partial else partial(**supplied)


def _with(partial: Any, supplied: dict[str, Any]) -> Any:
    partial.keywords.update(supplied)
    return partial


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and everything that led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def accepts(node: DictConfig | Mapping[str, Any] | None, name: str) -> bool:
    """Whether the target of a node names an argument ``name``; read from its source, without importing it."""
    return node is not None and name in signature.read(node["_target_"]).parameters


def build_accepted(node: DictConfig | Mapping[str, Any] | None, **offered: Any) -> Any:
    """Build as `build` does, supplying of what is offered only the arguments that the target names."""
    return build(node, **{name: value for name, value in offered.items() if accepts(node, name)})


def target(node: DictConfig | Mapping[str, Any]) -> Any:
    """Import what a node's ``_target_`` names, without calling it."""
    return get_object(node["_target_"])

"""Read YAML files within bounds: an alias bomb of 230 bytes takes OmegaConf 5 s, and ten times that per level."""

from __future__ import annotations

import io
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # it comes with OmegaConf, without stubs
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tunesmith import recorded
from tunesmith.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_ALIASES = 16
"""With this many aliases, content grows at most 400-fold, however they are nested."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> DictConfig:
    """Read a file that holds a mapping.

    Raises:
        ConfigError: It is missing, is not YAML, is not a mapping, or exceeds the bounds.
    """
    text = _bounded(path)
    try:
        found = OmegaConf.load(io.StringIO(text))
    except (yaml.YAMLError, OSError, OmegaConfBaseException) as error:
        raise _unreadable(path, error) from None
    if not isinstance(found, DictConfig):
        raise ConfigError(f"Expected {path} to be a mapping.")
    return found


def require_bounds(path: Path) -> None:
    """Check a file's size, depth and number of aliases from its parse events, without building anything.

    Raises:
        ConfigError: It is missing, is not YAML, or exceeds the bounds.
    """
    _bounded(path)


def _bounded(path: Path) -> str:
    try:
        text = recorded.read_bytes(path, MAX_BYTES).decode("utf-8")
        depth, aliases = _measure(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from None
    for what, found, most in (("levels", depth, MAX_DEPTH), ("aliases", aliases, MAX_ALIASES)):
        if found > most:
            raise ConfigError(f"Expected {path} to have at most {most:,} {what} but got more.")
    return text


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"Expected {path} to be a YAML file but got: {recorded.said(error)}.")


def _require_plain(tag: str) -> None:
    kind = tag.removeprefix("tag:yaml.org,2002:")
    if kind == tag or kind.startswith("python/"):
        raise yaml.YAMLError(
            f"the tag '{tag.replace('tag:yaml.org,2002:', '!!')}', which may make an object of any kind"
        )


def _measure(text: str) -> tuple[int, int]:
    """Return depth and number of aliases, counting no further than the bounds; a self-reference has infinite depth."""
    deepest = aliases = 0
    above: list[str | None] = []  # anchors of the nodes that are open
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            above.append(event.anchor)
            deepest = max(deepest, len(above))
        elif isinstance(event, yaml.CollectionEndEvent):
            above.pop()
        if tag := getattr(event, "tag", None):
            _require_plain(tag)
        if isinstance(event, yaml.AliasEvent):
            aliases += 1
            deepest = MAX_DEPTH + 1 if event.anchor in above else deepest
        if deepest > MAX_DEPTH or aliases > MAX_ALIASES:
            break
    return deepest, aliases

"""Read YAML files within bounds: an alias bomb of 230 bytes takes OmegaConf 5 s, and ten times that per level."""

from __future__ import annotations

from pathlib import Path

import yaml  # type: ignore[import-untyped]  # it comes with OmegaConf, without stubs
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

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
    require_bounds(path)
    try:
        found = OmegaConf.load(path)
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
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= MAX_BYTES else ""
        depth, aliases = _measure(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from None
    for what, found, most in (
        ("bytes", size, MAX_BYTES),
        ("levels", depth, MAX_DEPTH),
        ("aliases", aliases, MAX_ALIASES),
    ):
        if found > most:
            raise ConfigError(f"Expected {path} to have at most {most:,} {what} but got more.")


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"Expected {path} to be a YAML file but got: {' '.join(str(error).split())}.")


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
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            deepest = MAX_DEPTH + 1 if event.anchor in above else deepest
        if deepest > MAX_DEPTH or aliases > MAX_ALIASES:
            break
    return deepest, aliases

"""Confine a recorded run's output to its own folder: the recording may come from an untrusted source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from tunesmith.errors import ConfigError

WRITERS = ("callback", "logger", "trainer")
"""Groups whose targets write files to places given by their arguments."""

PLACES = ("dir", "dirpath", "folder", "path")
"""Last words of the names of arguments that are folders."""


def confine(cfg: DictConfig) -> None:
    """Check that nothing in a configuration writes outside of its run folder.

    Args:
        cfg: Configuration as recorded; ``paths.run`` is the run folder, or null if it does not exist yet.

    Raises:
        ConfigError: An argument of a callback, a logger or the trainer, or a link in the folder, leads out of it.
    """
    cfg = cfg.copy()
    if cfg.paths.run is None:
        cfg.paths.run = str(Path.cwd() / "<run>")
    inside = Path(cfg.paths.run).resolve()
    found = [
        f"Expected {path} to stay in the run folder but got '{value}': a recorded run writes nowhere else."
        for group in WRITERS
        for path, value in _texts(OmegaConf.to_container(cfg.get(group) or OmegaConf.create(), resolve=True), group)
        if _leads_out(path, value, inside)
    ]
    for parent, folders, files in os.walk(inside):
        for place in (Path(parent, name) for name in [*folders, *files]):
            if place.is_symlink() and not place.resolve().is_relative_to(inside) and not _is_wandbs(place):
                found.append(f"Expected nothing in the run folder to be a link out of it but {place} is one.")
    if found:
        raise ConfigError(found)


def _is_wandbs(link: Path) -> bool:
    """Return whether it is W&B's link to its service's log, which nothing is written through."""
    return link.name == "debug-core.log" and link.readlink().name.startswith("core-debug-")


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, path)
    elif isinstance(value, str):
        yield path, value


def _leads_out(path: str, value: str, inside: Path) -> bool:
    if path.rpartition(".")[2].rpartition("_")[2] in PLACES:
        return not Path(value).resolve().is_relative_to(inside)
    return Path(value).is_absolute() or value.startswith("~") or ".." in Path(value).parts or "://" in value

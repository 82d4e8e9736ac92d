"""Confine what a recorded run writes to its own folder: the recording may come from an untrusted source."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tunesmith.errors import ConfigError, RunError

WRITERS = ("callback", "logger", "trainer")
"""Groups whose targets write files to places given by their arguments."""

PLACES = ("dir", "dirpath", "folder", "path")
"""Last words of the names of arguments that are folders."""

_FIELD = re.compile(r"\{[\w/@ .-]*(?::0?\d{0,3}(?:\.\d{1,2})?[defgEG%]?)?\}")
"""A field of a format that can only become a number or a name: ``{step:c}`` would become any letter."""


def confine(cfg: DictConfig) -> None:
    """Check that nothing in a configuration writes outside of its run folder, and let it download nothing.

    Args:
        cfg: Configuration as recorded; ``paths.run`` is the run folder, or null if it does not exist yet. Its
            ``download`` options are turned off.

    Raises:
        ConfigError: An argument of a callback, a logger or the trainer, or a link in the folder, leads out of it.
    """
    try:
        found = _found(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(f"Expected a whole configuration but got: {str(error).splitlines()[0]}.") from error
    if found:
        raise ConfigError(found)


def _found(cfg: DictConfig) -> list[str]:
    paths = cfg.get("paths")
    if not isinstance(paths, DictConfig) or not isinstance(paths.get("run", 0), str | None):
        return ["Expected a recorded configuration to have paths.run but it has none: it was altered."]
    given = {group: cfg.get(group) for group in WRITERS}
    wrong = [group for group, node in given.items() if node is not None and not isinstance(node, DictConfig)]
    if wrong:
        return [f"Expected {group} to be a group but got '{given[group]}'." for group in wrong]
    offline(cfg)
    cfg = cfg.copy()
    if cfg.paths.run is None:
        cfg.paths.run = str(Path.cwd() / f"run {secrets.token_hex(16)}")  # nobody can have typed it
    inside = Path(cfg.paths.run).resolve()
    return _places(cfg, inside) + links(inside)


def _places(cfg: DictConfig, inside: Path) -> list[str]:
    return [
        f"Expected {path} to stay in the run folder but got '{value}': a recorded run writes nowhere else."
        for group in WRITERS
        for path, value in _texts(OmegaConf.to_container(cfg.get(group) or OmegaConf.create(), resolve=True), group)
        if _leads_out(path, value, inside)
    ]


def links(folder: Path) -> list[str]:
    """Say which links in a run folder lead out of it."""
    return [
        f"Expected nothing in the run folder to be a link out of it but {place} is one."
        for parent, folders, files in os.walk(folder)
        for place in (Path(parent, name) for name in [*folders, *files])
        if place.is_symlink() and not place.resolve().is_relative_to(folder.resolve()) and not _is_wandbs(place)
    ]


def make_folder(run: Path, *names: str) -> Path:
    """Make a folder below a run folder, through no link.

    Raises:
        RunError: There is a link, or something else than a folder, on the way.
    """
    folder = run
    for name in names:
        folder = folder / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise RunError(f"Expected {folder} to be a folder of the run but it is something else; remove it.")
        folder.mkdir(exist_ok=True)
    return folder


def unshare(file: Path) -> None:
    """Make a file that is appended to the folder's own, where it is a link, or another name of a file elsewhere.

    Raises:
        RunError: It is no regular file; opening a FIFO would wait for a reader.
    """
    if file.exists() and not file.is_file():
        raise RunError(f"Expected {file} to be a regular file but it is something else; remove it.")
    if file.is_symlink() or (file.is_file() and file.stat().st_nlink > 1):
        own = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
        shutil.copyfile(file, own)
        own.replace(file)


def offline(cfg: DictConfig) -> None:
    """Turn off the download that a recorded configuration may ask for."""
    data = cfg.get("data")
    if isinstance(data, DictConfig) and data.get("download"):
        OmegaConf.update(cfg, "data.download", False)


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
    """Return whether a text may name a place outside, after whatever a library may make of it."""
    unsure = value.startswith(("~", "file:")) or "://" in value or "\0" in value or bool(set("{}") & set(_plain(value)))
    if path.rpartition(".")[2].rpartition("_")[2] in PLACES:
        return unsure or bool(set("$%") & set(value)) or not Path(value).resolve().is_relative_to(inside)
    return unsure or Path(value).is_absolute() or ".." in Path(value).parts


def _plain(value: str) -> str:
    return _FIELD.sub("", value)

"""Find configurations: the user's own come first, those of the package last."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from platformdirs import user_cache_path

from tunesmith.errors import ConfigError, nearest


def package_conf() -> Path:
    """Return the package's configurations: ``tunesmith/conf`` in a wheel, the top-level ``conf`` in a checkout."""
    here = Path(__file__).resolve()
    installed = here.parents[1] / "conf"
    return installed if installed.is_dir() else here.parents[3] / "conf"


FOREIGN = ("evaluate", "predict", "export", "reproduce")
"""Commands on a run that may come from anywhere, and be started inside its folder."""


def conf_dirs(config_dirs: Sequence[str | Path] = (), command: str = "train") -> list[Path]:
    """List the folders searched for configurations; the first that has a file wins.

    Args:
        config_dirs: Folders given by ``--config-dir``.
        command: For one of `FOREIGN`, ``./conf`` replaces nothing of the package's: its ``output`` would not be typed.

    Returns:
        Those folders, then ``./conf`` if it exists, then the package's; for `FOREIGN`, the package's before ``./conf``.

    Raises:
        ConfigError: A folder of ``config_dirs`` does not exist.
    """
    named = [Path(d).expanduser().resolve() for d in config_dirs]
    for folder in named:
        if not folder.is_dir():
            raise ConfigError(f"Expected --config-dir to be a folder but got '{folder}', which does not exist.")
    own = Path("conf").resolve()
    found = [*([own] if own.is_dir() else []), package_conf()]
    return list(dict.fromkeys([*named, *(reversed(found) if command in FOREIGN else found)]))


def cache_folder(named: str | None) -> Path:
    """Return the cache: the folder named, or that of ``TUNESMITH_CACHE``, or the platform's."""
    return Path(named or os.environ.get("TUNESMITH_CACHE") or user_cache_path("tunesmith")).expanduser()


def group_names(dirs: Iterable[Path]) -> set[str]:
    """Return the names of the top-level config groups in the given folders."""
    return {p.name for d in dirs for p in d.iterdir() if p.is_dir() and not p.name.startswith((".", "_"))}


def commands() -> dict[str, str]:
    """Return the commands, one per root file, with the first sentence of the file's header."""
    roots = sorted(package_conf().glob("*.yaml"))
    return {p.stem: headline(p) for p in roots}


def headline(path: Path) -> str:
    """Return the first sentence of a file's header comment."""
    with path.open(encoding="utf-8") as lines:
        comments = (line.lstrip("#").strip() for line in lines if line.startswith("#") and "@package" not in line)
        first = next(comments, "")
    return first.partition(". ")[0].rstrip(".") + "."


def require_command(name: str) -> None:
    """Check that a command exists.

    Raises:
        ConfigError: It does not.
    """
    if name not in commands():
        raise ConfigError(f"Expected a command but got '{name}'.{nearest(name, commands())}")

"""Compose a configuration outside the command line, for tests and for rebuilding a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from tunesmith.config import find, renamed
from tunesmith.config.check import overrides
from tunesmith.config.hydra import app
from tunesmith.errors import ConfigError


def compose(command: str, changes: Sequence[str] = (), config_dirs: Sequence[str | Path] = ()) -> DictConfig:
    """Compose the configuration of a command as the command line would; `check.check` then checks it.

    Args:
        command: Such as ``train``.
        changes: Overrides as on the command line.
        config_dirs: Folders to search first, as given by ``--config-dir``.

    Returns:
        The configuration without Hydra's node and without any dependence on Hydra.

    Raises:
        ConfigError: An override names something that does not exist, or Hydra cannot compose it.
    """
    find.require_command(command)
    dirs = find.conf_dirs(config_dirs)
    with app.turn:
        hydra = app.start(command, dirs)
        try:
            ready = overrides.prepare(hydra, command, renamed.typed(changes), dirs)
        finally:
            GlobalHydra.instance().clear()
    if ready.mistakes:
        raise ConfigError([m.text for m in ready.mistakes])
    return app.alone(ready.configs[0])

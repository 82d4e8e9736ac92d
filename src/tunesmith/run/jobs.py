"""Check and run the jobs that Hydra derives from a command line, each with its own session."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from platformdirs import user_config_path, user_data_path

from tunesmith.config import find, output
from tunesmith.config.check.check import mistakes
from tunesmith.config.hydra import app
from tunesmith.config.redact import redact_text
from tunesmith.errors import ConfigError, TunesmithError, say
from tunesmith.run.session import Session, typed
from tunesmith.run.wall import raise_wall


class Jobs:
    """Checks and runs the command for each job that Hydra calls it with, and keeps the exit code.

    Args:
        command: Name of the command.
        sweep: Whether the command line is a sweep.
        dirs: Folders of configurations.
        describe: Completes Hydra's description of the current job.
        session: The command's session.

    Attributes:
        code: 0 if every job succeeded, 2 if all failures were user errors, else 1.
    """

    def __init__(
        self, command: str, sweep: bool, dirs: Sequence[Path], describe: Callable[[], None], session: Session
    ) -> None:
        self.command = command
        self.sweep = sweep
        self.dirs = dirs
        self.describe = describe
        self.session = session
        self.code = 0

    def __call__(self, cfg: DictConfig) -> object:
        """Run one job, and print its error immediately."""
        if self.sweep:
            job = HydraConfig.get()
            sys.stderr.write(f"tunesmith: job {job.job.num}: {' '.join(job.overrides.task)}\n")
        try:
            return self.run(cfg)
        except TunesmithError as error:
            code = say(error)
            self.code = self.code or code
        except Exception:
            sys.stderr.write(redact_text(traceback.format_exc()))  # a sweep saves its jobs' output
            self.code = 1
        return None

    def run(self, cfg: DictConfig) -> object:
        """Check the current job's configuration and run it.

        Raises:
            ConfigError: The configuration is wrong.
            RunError: The output folder is not writable.
        """
        self.describe()
        cfg = app.settled(cfg)
        trust = self.session.trust.composing(cfg, self.command)
        found = mistakes(cfg, self.command, find.group_names(self.dirs), trust)
        if found:
            raise ConfigError([m.text for m in found])
        output.check_output(cfg, self.command)
        if self.command in find.FOREIGN and self.session.started is not None:
            raise_wall(writable(self.command, cfg))
        session = replace(self.session, trust=trust, typed=typed())
        self.session = replace(self.session, started=None)  # later jobs import nothing
        return entry(self.command)(app.alone(cfg), session=session)


def writable(command: str, cfg: DictConfig) -> list[Path]:
    """Return the folders that a command on a recorded run writes to; those that are not there yet are made."""
    cache = find.cache_folder(cfg.paths.cache)
    wandbs = [Path(os.environ.get("WANDB_DATA_DIR") or user_data_path("wandb")), user_config_path("wandb")]
    made = [cache, Path(cfg.paths.logs), *wandbs] if command == "reproduce" else [cache]
    for folder in made:
        with contextlib.suppress(OSError):  # a home that cannot be written to: whoever needs the folder says so
            folder.mkdir(parents=True, exist_ok=True)
    output = [Path(cfg.output).expanduser().absolute().parent] if "output" in cfg else []
    return [Path(cfg.run).expanduser(), *made, *output]


def entry(command: str) -> Callable[..., object]:
    """Import the function that runs a command, from the module of its name in the room of its name or in ``run``."""
    spec = importlib.util.find_spec
    room = command if spec(f"tunesmith.{command}") and spec(f"tunesmith.{command}.{command}") else "run"
    found: Callable[..., object] = getattr(importlib.import_module(f"tunesmith.{room}.{command}"), command)
    return found

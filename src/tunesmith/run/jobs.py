"""The jobs that Hydra makes of a command line: each is checked, and run with a session of its own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from tunesmith.config import find, output
from tunesmith.config.check.check import mistakes
from tunesmith.config.hydra import app
from tunesmith.config.redact import redact_text
from tunesmith.errors import ConfigError, TunesmithError, say
from tunesmith.run.session import Session, typed


class Jobs:
    """What Hydra calls for each job: it checks the configuration, runs the command, and keeps the exit code.

    Args:
        command: The command.
        sweep: Whether a job that fails lets the others go on.
        dirs: Folders of configurations.
        describe: Completes Hydra's description of the present job.
        session: What the command has of its own.

    Attributes:
        code: 0 where every job ended well, 2 where all failures were mistakes of the user's, else 1.
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

    def __call__(self, cfg: DictConfig) -> Any:
        """Run one job; its error is printed at once, so that a sweep shows it before it goes on."""
        if self.sweep:
            job = HydraConfig.get()
            sys.stderr.write(f"tunesmith: job {job.job.num}: {' '.join(job.overrides.task)}\n")
        try:
            return self.run(cfg)
        except TunesmithError as error:
            code = say(error)
            self.code = self.code or code
        except Exception:
            sys.stderr.write(redact_text(traceback.format_exc()))  # a sweep keeps what its jobs print
            self.code = 1
        return None

    def run(self, cfg: DictConfig) -> Any:
        """Check the present job's configuration and run it.

        Raises:
            ConfigError: It does not hold.
            RunError: Nothing can be written where it will write.
        """
        self.describe()
        cfg = app.settled(cfg)
        trust = self.session.trust.composing(cfg, self.command)
        found = mistakes(cfg, self.command, find.group_names(self.dirs), trust)
        if found:
            raise ConfigError([m.text for m in found])
        output.check_output(cfg, self.command)
        session = replace(self.session, trust=trust, typed=typed())
        self.session = replace(self.session, started=None)  # the next job imports nothing
        return entry(self.command)(app.alone(cfg), session=session)


def entry(command: str) -> Callable[..., Any]:
    """The function that runs a command: it lies in a file of its name, in the room of its name or else in ``run``."""
    spec = importlib.util.find_spec
    room = command if spec(f"tunesmith.{command}") and spec(f"tunesmith.{command}.{command}") else "run"
    found: Callable[..., Any] = getattr(importlib.import_module(f"tunesmith.{room}.{command}"), command)
    return found

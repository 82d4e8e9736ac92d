"""Hold the state of one command, passed as a value from the command line, or from Python.

Only this module reads the environment, the user's settings and Hydra's current job, once per command. State that
Python, torch or a library keep per process is in `run/exclusive.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from tunesmith.compat.omegaconf import plain
from tunesmith.config import gate
from tunesmith.config.find import package_conf
from tunesmith.config.gate import Trust
from tunesmith.config.hydra import app
from tunesmith.config.redact import redact_override
from tunesmith.data.workers import Watches
from tunesmith.signals import Stop

if TYPE_CHECKING:
    from rich.console import Console

FOLDER_VARIABLE = "TUNESMITH_RUN_FOLDER"
"""Passes the run folder to later processes of a distributed run."""


@dataclass(frozen=True)
class Typed:
    """What the user typed; empty when called from Python.

    Attributes:
        overrides: Overrides, secrets redacted.
        choices: Chosen option of each config group.
        config_dir: Folder given by ``--config-dir``; ``./conf`` is found without it.
    """

    overrides: tuple[str, ...] = ()
    choices: Mapping[str, object] = field(default_factory=dict)
    config_dir: str | None = None


def _console() -> Console:
    from tunesmith.run.console import VisibleConsole

    return VisibleConsole()


@dataclass(frozen=True)
class Session:
    """The state of one command, or of one call from Python.

    Attributes:
        trust: What it may import.
        typed: What the user typed.
        run_folder: In later processes of a distributed run, the run folder that the first one created.
        job: Run folder of a sweep's job, which may exist from an earlier attempt.
        sweep: Name of that sweep.
        stop: Its stop request.
        watches: What its loader processes are reading.
        console: Console to print on.
        started: Start of its process by `time.monotonic`, if that was for this command; ``None`` in Python.
    """

    trust: Trust = field(default_factory=gate.trust)
    typed: Typed = field(default_factory=Typed)
    run_folder: Path | None = None
    job: Path | None = None
    sweep: str | None = None
    stop: Stop = field(default_factory=Stop)
    watches: Watches = field(default_factory=Watches)
    console: Console = field(default_factory=_console)
    started: float | None = None

    @classmethod
    def read(cls, trust: Trust | None = None, stop: Stop | None = None, started: float | None = None) -> Session:
        """Read the session of a command from the environment.

        Args:
            trust: What it may import; ``None`` for the user's general trust.
            stop: Its stop request.
            started: Start of its process by `time.monotonic`, if that was for this command.
        """
        folder, job = os.environ.get(FOLDER_VARIABLE), os.environ.get("TUNESMITH_JOB")
        return cls(
            trust or gate.trust(),
            typed(),
            Path(folder) if folder else None,
            Path(job) if job else None,
            os.environ.get("TUNESMITH_SWEEP"),
            stop or Stop(),
            started=started,
        )


def typed() -> Typed:
    """Return what was typed for Hydra's current job; empty if there is none."""
    with app.turn:  # another thread may be composing
        hydra = HydraConfig.get() if HydraConfig.initialized() else None
    if hydra is None:
        return Typed()
    chosen = plain(OmegaConf.create(dict(hydra.runtime.choices)))
    choices = {k: v for k, v in chosen.items() if not k.startswith(("hydra/", "sweep"))}
    ours = [s.path for s in hydra.runtime.config_sources if s.provider == "tunesmith"]
    folder = next((path for path in ours if Path(path) not in (Path.cwd() / "conf", package_conf())), None)
    return Typed(tuple(redact_override(o) for o in hydra.overrides.task), choices, folder)

"""What one command has of its own: a value that travels from the command line, or from Python, to what needs it.

The environment, the user's settings and Hydra's present job are read here alone, once per command. What cannot be a
value, because Python, torch or a library keep it for the whole process, stands in `run/exclusive.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from tunesmith.config import gate
from tunesmith.config.gate import Trust
from tunesmith.config.hydra import app
from tunesmith.config.redact import redact_override
from tunesmith.data.workers import Watches
from tunesmith.signals import Stop

if TYPE_CHECKING:
    from rich.console import Console

FOLDER_VARIABLE = "TUNESMITH_RUN_FOLDER"
"""Tells the further processes of a distributed run its folder."""


@dataclass(frozen=True)
class Typed:
    """What the user typed; empty when called from Python.

    Attributes:
        overrides: The overrides, secrets taken out.
        choices: The chosen option of each config group.
        config_dir: The folder that ``--config-dir`` named; what lies in ``./conf`` is found without.
    """

    overrides: tuple[str, ...] = ()
    choices: Mapping[str, Any] = field(default_factory=dict)
    config_dir: str | None = None


def _console() -> Console:
    from rich.console import Console

    return Console()


@dataclass(frozen=True)
class Session:
    """What one command, or one call from Python, has of its own.

    Attributes:
        trust: What it may import.
        typed: What the user typed.
        run_folder: The run folder that the first process of a distributed run made, in each further one.
        job: The run folder of a job of a sweep, where it finds itself again if it was there before.
        sweep: The name of that sweep.
        stop: The request that it stop.
        watches: What its loader processes are reading.
        console: Where it prints.
        started: When its process began, by `time.monotonic`, if that was for this command; ``None`` in Python.
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
        """Read the session of a command from what surrounds it.

        Args:
            trust: What it may import; ``None`` for what the user allows whatever the command.
            stop: The request that it stop.
            started: When its process began, if that was for this command.
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
    """What was typed for Hydra's present job; nothing where there is none."""
    with app.turn:  # else it may be what another thread is about to compose
        hydra = HydraConfig.get() if HydraConfig.initialized() else None
    if hydra is None:
        return Typed()
    chosen: Any = OmegaConf.to_container(OmegaConf.create(dict(hydra.runtime.choices)))
    choices = {k: v for k, v in chosen.items() if not k.startswith(("hydra/", "sweep"))}
    ours = [s.path for s in hydra.runtime.config_sources if s.provider == "tunesmith"]
    folder = next((path for path in ours if Path(path) != Path.cwd() / "conf"), None)
    return Typed(tuple(redact_override(o) for o in hydra.overrides.task), choices, folder)

"""Print the one command line that repeats a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from tunesmith.config.redact import REDACTED
from tunesmith.errors import RunError
from tunesmith.run.record.run_folder import read
from tunesmith.run.session import Session


def command(cfg: DictConfig, session: Session | None = None) -> str:
    """Print a run's command line, quoted for a POSIX shell, and on stderr what it cannot hold.

    Args:
        cfg: ``run``.
        session: Of the command, as for all; nothing of it is needed.

    Raises:
        RunError: The folder is not a run's, or the run was not started from a command line.
    """
    record = read(Path(cfg.run).expanduser())
    line = command_line(record)
    print(line)  # noqa: T201 - what was asked for
    if REDACTED in line:
        sys.stderr.write(f"tunesmith: put in what stands here as {REDACTED}: secrets are not recorded.\n")
    return line


def command_line(record: dict[str, Any]) -> str:
    """The command line that a run was started by; of a job of a sweep, the one that runs this job alone.

    Args:
        record: Its run.json.

    Returns:
        Quoted for a POSIX shell, without ``resume``: it is to begin anew.

    Raises:
        RunError: The run was not started from a command line, so nothing says what it changed.
    """
    if not record["choices"]:
        raise RunError(
            f"Expected a run that was started from a command line but {record['id']} was started from Python; "
            "its config.yaml holds the whole configuration."
        )
    words = [word for word in record["overrides"] if word.partition("=")[0].lstrip("+") != "resume"]
    folder = record.get("config_dir")
    return shlex.join([*record["command"].split()[:2], *(["--config-dir", folder] if folder else []), *words])

"""Print the command line that repeats a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from omegaconf import DictConfig

from tunesmith.config.redact import REDACTED
from tunesmith.errors import RunError
from tunesmith.run.record.run_folder import read
from tunesmith.run.record.schema import Record
from tunesmith.run.session import Session


def command(cfg: DictConfig, session: Session | None = None) -> str:
    """Print a run's command line, quoted for a POSIX shell, and a note on stderr if secrets are missing.

    Raises:
        RunError: The folder is not a run folder, or the run was not started from a command line.
    """
    record = read(Path(cfg.run).expanduser())
    line = command_line(record)
    print(line)  # noqa: T201 - the output
    if REDACTED in line:
        sys.stderr.write(f"tunesmith: fill in what is shown as {REDACTED}: secrets are not recorded.\n")
    return line


def command_line(record: Record) -> str:
    """Return the command line that started a run; for a sweep's job, the one that runs this job alone.

    Returns:
        Command line quoted for a POSIX shell, without ``resume``.

    Raises:
        RunError: The run was started from Python.
    """
    if not record["choices"]:
        raise RunError(
            f"Expected a run that was started from a command line but {record['id']} was started from Python; "
            "its config.yaml holds the whole configuration."
        )
    words = [word for word in record["overrides"] if word.partition("=")[0].lstrip("+") != "resume"]
    folder = record.get("config_dir")
    return shlex.join([*record["command"].split()[:2], *(["--config-dir", folder] if folder else []), *words])

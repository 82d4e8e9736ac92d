"""Read the record of a run folder, and name its place; without torch, for commands that answer at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunesmith.config import renamed
from tunesmith.errors import RunError

SCHEMA = 1
"""Of run.json."""


def shorten(path: Path) -> str:
    """Name a path from the current folder where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read(folder: Path) -> dict[str, Any]:
    """Read the run.json of a finished or dead run.

    Raises:
        RunError: The folder is not a run folder, or its record is of another schema.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"Expected a run folder with a run.json but got {folder}; a run says where its folder is.")
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunError(f"Expected {path} to be JSON but got: {error}.") from error
    if record.get("schema") != SCHEMA:
        raise RunError(f"Expected {path} to have schema {SCHEMA} but got {record.get('schema')!r}.")
    return renamed.record(record)

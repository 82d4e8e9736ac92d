"""Read the record of a run folder and shorten its path; without torch, for commands that answer at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunesmith.config import renamed
from tunesmith.errors import RunError
from tunesmith.run.record.schema import VERSION, Record


def shorten(path: Path) -> str:
    """Return a path relative to the current folder if it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read(folder: Path) -> Record:
    """Read the run.json of a run, with the names of this version.

    Raises:
        RunError: The folder is not a run folder, or its record has another schema.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"Expected a run folder with a run.json but got {folder}; a run says where its folder is.")
    try:
        plain: Any = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunError(f"Expected {path} to be JSON but got: {error}.") from error
    if plain.get("schema") != VERSION:
        raise RunError(f"Expected {path} to have schema {VERSION} but got {plain.get('schema')!r}.")
    plain = renamed.record(plain)
    record: Record = plain
    return record

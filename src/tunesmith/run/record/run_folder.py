"""Read the record of a run folder and shorten its path; without torch, for commands that answer at once."""

from __future__ import annotations

from pathlib import Path

from tunesmith import recorded
from tunesmith.config import renamed
from tunesmith.errors import RunError
from tunesmith.run.record.schema import VERSION, Record

NEEDED = ("id", "status")
"""Keys that every record has had from the first moment on."""


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
    if not path.exists():
        raise RunError(f"Expected a run folder with a run.json but got {folder}; a run says where its folder is.")
    plain = recorded.read_json(path, dict[str, object])
    if plain.get("schema") != VERSION:
        raise RunError(f"Expected {path} to have schema {VERSION} but got {str(plain.get('schema'))[:20]}.")
    if missing := [key for key in NEEDED if key not in plain]:
        raise RunError(f"Expected {path} to have {' and '.join(missing)} but it has none.")
    return recorded.of_file(path, renamed.record(plain), Record)

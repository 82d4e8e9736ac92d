"""Find run folders and read from each run.json what a comparison needs: a thousand in a fraction of a second."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tunesmith.contract.plain import PlainData
from tunesmith.errors import RunError
from tunesmith.run.record import process
from tunesmith.run.record.run_folder import read, shorten
from tunesmith.run.record.schema import Record

ASIDE = frozenset({"name", "tags", "resume", "logger", "paths", "hydra"})
"""Groups and keys that set where a run goes and how it is named; they do not affect results."""

DEFAULT = "default"
"""Value shown for a key that a run left at its default while others set it."""


class Replicate(NamedTuple):
    """What differs between runs of one setting; runs of two settings are paired by it.

    Attributes:
        seed: Seed of the run.
        split_seed: ``data.split.seed`` as given; ``None`` if it was not.
        fold: ``data.split.fold`` as given; ``None`` if it was not.
    """

    seed: str
    split_seed: str | None
    fold: str | None


_FIRST = Replicate("0", None, None)


@dataclass(frozen=True)
class Recorded:
    """The content of one run folder.

    Attributes:
        folder: The run folder.
        status: Status in run.json.
        name: Name of the run: that of its experiment or its data, unless another was given.
        started: Start time in ISO 8601.
        settings: Option per config group, and the value of every other key that was given; as text.
        replicate: Which replicate of these settings it is.
        metrics: Flat: ``test/accuracy``, …
        monitor: Metric that chose the best epoch, and whether the largest (``max``) or smallest (``min``) is best.
        seconds: Time to assemble, train and test, without imports.
        data: The section ``data`` of run.json.
        made_with: Commit, package versions, processor and accelerators.
        reason: Why it cannot be compared; empty if it can.
    """

    folder: Path
    status: str = ""
    name: str = ""
    started: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    replicate: Replicate = _FIRST
    metrics: Mapping[str, float] = field(default_factory=dict)
    monitor: tuple[str, str] | None = None
    seconds: float = 0.0
    data: PlainData = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def find(places: Sequence[str]) -> list[Path]:
    """Find run folders.

    Args:
        places: Run folders, folders that contain run folders at any depth, or globs of either.

    Returns:
        Folders with a run.json, without duplicates, sorted by path.

    Raises:
        RunError: A place does not exist, or none contains a run.
    """
    found: set[Path] = set()
    for place in places:
        name = str(Path(place).expanduser())
        # A folder's name may contain brackets, so only treat it as a glob if it does not exist.
        matched = [name] if Path(name).exists() else glob.glob(name, recursive=True)  # noqa: PTH207 - absolute patterns too
        if not matched:
            raise RunError(f"Expected folders of runs but there is nothing at {place}.")
        for path in matched:
            found.update(Path(folder).absolute() for folder in _below(path))
    if not found:
        raise RunError(f"Expected runs in {', '.join(places)} but found no run.json there.")
    return sorted(found)


def _below(folder: str) -> Iterator[str]:
    """Yield the run folders below a folder, itself included, without searching inside runs."""
    if not Path(folder).is_dir():
        return
    with os.scandir(folder) as entries:
        inside = list(entries)
    if any(entry.name == "run.json" for entry in inside):
        yield folder
        return
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)


def read_all(folders: Sequence[Path]) -> list[Recorded]:
    """Read runs, in the order in which they started."""
    return sorted(map(read_run, folders), key=lambda run: (run.started, run.folder))


def read_run(folder: Path) -> Recorded:
    """Read one run; if that fails, return it with the reason."""
    try:
        return _recorded(folder, read(folder))
    except RunError as error:
        return Recorded(folder, "unreadable", reason=str(error))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return Recorded(folder, "unreadable", reason=f"run.json is not as a run leaves it ({error!r})")


def _recorded(folder: Path, record: Record) -> Recorded:
    settings = settings_of(record["choices"], record["overrides"])
    timing, monitor = record["timing"], record.get("monitor") or {}
    return Recorded(
        folder,
        record["status"],
        str(record.get("name", "")),
        record["started"],
        {key: value for key, value in settings.items() if key not in _REPLICATE},
        Replicate(str(record["seed"]), settings.get("data.split.seed"), settings.get("data.split.fold")),
        record["metrics"],
        (metric, monitor["mode"]) if (metric := monitor.get("metric")) else None,
        sum(timing.get(part) or 0.0 for part in ("assemble", "fit", "test")),
        record["data"],
        _made_with(record),
        _reason(record),
    )


_REPLICATE = frozenset({"seed", "data.split.seed", "data.split.fold"})


def settings_of(choices: Mapping[str, object], overrides: Sequence[str]) -> dict[str, str]:
    """Return what a run was told: the option of each group, and each key that was given.

    Args:
        choices: Option of each config group.
        overrides: Overrides as typed.

    Returns:
        Text by group or key, with numbers in one notation, so that 1e-3 equals 0.001.
    """
    found = {group: _as_text(option) for group, option in choices.items() if group not in ASIDE}
    for word in overrides:
        key, equals, value = word.partition("=")
        key = key.lstrip("+~").partition("@")[0]
        if key not in choices and key.partition(".")[0] not in ASIDE:
            found[key] = _as_text(value) if equals else "left out"
    return found


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    if not isinstance(value, str):
        return "none" if value is None else str(value)
    try:
        return f"{float(value):.10g}"
    except ValueError:
        return value


def _made_with(record: Record) -> dict[str, str]:
    git, hardware = record["git"], record["hardware"]
    machine = [hardware.get("processor"), hardware.get("cores"), hardware.get("accelerators")]
    return {"code": json.dumps(git), "machine": json.dumps(machine), **record["packages"]}


def _reason(record: Record) -> str:
    """Explain why a run has no result: its error, or its state."""
    status, error = record["status"], record.get("error") or {}
    if status == "completed":
        return ""
    if status == "running":
        alive = process.elsewhere(record["process"]) or process.alive(record["process"])
        return "not finished" if alive else "killed: its process is gone"
    said = " ".join(str(error.get("message", "")).split())
    return f"{error.get('type', status)}: {said}".strip(": ")


def place(run: Recorded) -> str:
    """Return a run's path relative to the current folder."""
    return shorten(run.folder)

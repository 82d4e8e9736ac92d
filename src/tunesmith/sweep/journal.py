"""What a sweep remembers: a manifest, written once, and a journal, to which a line is added for whatever happens.

A line is on disk before the next thing happens. A line that is lost, torn by a crash or by a network file system, costs
little: the job is started again, finds its run completed, and says so.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tunesmith.errors import RunError
from tunesmith.run.record.run_folder import shorten
from tunesmith.sweep import outcome
from tunesmith.sweep.protocol import Job, Result
from tunesmith.sweep.search.space import CONFIGURATION

SCHEMA = 1
SHOWN = 5
"""Differences that are named."""

MANIFEST, JOURNAL = "sweep.json", "journal.jsonl"


@dataclass
class Entry:
    """What the journal knows of a job.

    Attributes:
        job: The job.
        round: How often it was begun anew, in a run folder of its own.
        result: How it ended; ``None`` while it has not.
        spent: Seconds of the attempts of this round that were stopped.
    """

    job: Job
    round: int = 0
    result: Result | None = None
    spent: float = 0.0


@dataclass
class Journal:
    """The memory of a sweep.

    Attributes:
        folder: The sweep's.
        manifest: What is searched, and under which id.
        entries: The jobs that began, by number, in that order.
    """

    folder: Path
    manifest: Mapping[str, Any]
    entries: dict[int, Entry] = field(default_factory=dict)
    _offset: int = 0

    @property
    def name(self) -> str:
        """What the sweep is called, in tables and by W&B."""
        return f"{self.manifest['name']}-{self.manifest['id']}"

    def run_folder(self, number: int) -> Path:
        """Where a job's run goes: its last part is the run's id, which no other run has."""
        entry = self.entries.get(number)
        # A digest of the sweep's id would do as well; this one can be read.
        return self.folder / f"{number:04d}-{self.manifest['id']}{number:04x}{entry.round if entry else 0:x}"

    def count(self) -> int:
        """How many jobs have ended."""
        return sum(entry.result is not None for entry in self.entries.values())

    def refresh(self) -> None:
        """Read what was added since, also by other launchers."""
        for event in self._events():
            entry = self.entries.setdefault(event["job"], Entry(Job(event["job"], tuple(event.get("changes", ())))))
            if event["event"] == "again" and event["round"] > entry.round:
                entry.round, entry.result, entry.spent = event["round"], None, 0.0
            elif event["event"] == "stopped" and event["round"] == entry.round:
                entry.spent = event.get("seconds", entry.spent)
            elif event["event"] == "ended" and event["round"] == entry.round:
                folder = self.folder / event["folder"]
                entry.result = outcome.result(folder, event["status"], event["seconds"], event["reason"])

    def started(self, job: Job) -> None:
        """Note that a job begins or goes on."""
        self._append("started", job.number, changes=job.changes, folder=self.run_folder(job.number).name)

    def ended(self, job: Job, result: Result, code: int | None) -> None:
        """Note how a job ended."""
        self._append(
            "ended",
            job.number,
            changes=job.changes,
            folder=result.folder.name,
            status=result.status,
            seconds=round(result.seconds, 3),
            reason=result.reason,
            objective=result.objective,
            monitor=result.monitor,
            exit_code=code,
        )

    def note(self, job: Job, event: str, **more: Any) -> None:
        """Note anything else: ``stopped``, ``retried``."""
        self._append(event, job.number, **more)

    def again(self, job: Job) -> None:
        """Begin a job anew that has ended, in another run folder."""
        self._append("again", job.number, round=self.entries[job.number].round + 1)

    def _append(self, event: str, number: int, **more: Any) -> None:
        entry = self.entries.get(number)
        line = {"event": event, "job": number, "round": entry.round if entry else 0, **more}
        line["at"] = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        append(self.folder / JOURNAL, json.dumps(line))
        self.refresh()

    def _events(self) -> Iterator[dict[str, Any]]:
        path = self.folder / JOURNAL
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and {"event", "job", "round"} <= event.keys():
                yield event


def append(path: Path, line: str) -> None:
    """Add a line to a file and wait until it is on disk; whole, also beside other processes that do the same.

    A line that a crash cut short is ended first, so that it does not spoil this one.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(handle).st_size
        torn = size and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, f"{chr(10) if torn else ''}{line}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def open_sweep(folder: Path, content: Mapping[str, Any]) -> Journal:
    """Open a sweep's folder, or make it.

    Args:
        folder: The folder.
        content: What a manifest is to say: ``name``, ``command``, ``search`` (what is searched and how: a flat dict of
            texts, which two sweeps in one folder must share), ``values`` (of every key, to name those that differ) and
            ``jobs``, where they are known: of two such lists one may go on where the other ends.

    Raises:
        RunError: It holds another sweep, or cannot be made.
    """
    path = folder / MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path, content)
    except OSError as error:
        raise RunError(f"Expected to make the sweep's folder {folder} but got: {error.strerror}.") from error
    journal = read(folder)
    differences = list(_differences(journal.manifest, content))
    differences = differences or list(_renumbered(journal.manifest.get("jobs", []), content.get("jobs", [])))[:1]
    if differences:
        raise RunError(
            f"Expected the sweep that {shorten(folder)} holds but got another: {'; '.join(differences)}. "
            "Choose another sweep.dir, or remove that one."
        )
    return journal


def read(folder: Path) -> Journal:
    """Read a sweep's folder.

    Raises:
        RunError: It is none.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"Expected a sweep's folder, with a {MANIFEST}, but got {folder}: {error}.") from error
    if manifest.get("schema") != SCHEMA:
        raise RunError(f"Expected {path} to have schema {SCHEMA} but got {manifest.get('schema')!r}.")
    journal = Journal(folder, manifest)
    journal.refresh()
    return journal


def _create(path: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest; of several launchers that do so at once, one's counts."""
    manifest = {
        "schema": SCHEMA,
        "id": secrets.token_hex(4),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **content,
    }
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(manifest, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What was typed otherwise; where that is the same, what a file says otherwise."""
    typed = dict(_changed(before["search"], now["search"]))
    digests = typed.pop(CONFIGURATION, None)
    if typed or digests is None:
        yield from typed.values()
        return
    values = dict(_changed(before.get("values", {}), now.get("values", {}))) if "values" in before else {}
    yield from list(values.values())[:SHOWN] or [digests]
    if len(values) > SHOWN:
        yield f"and {len(values) - SHOWN} more"


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) != now.get(key):
            yield key, f"{key} was {before.get(key, 'left alone')} and is {now.get(key, 'left alone')}"


def _renumbered(before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> Iterator[str]:
    for number, (was, is_) in enumerate(zip(before, now, strict=False)):  # a search may be given more jobs
        if list(was) != list(is_):
            yield f"job {number} was {' '.join(was)} and is {' '.join(is_)}"

"""Remember a sweep in its folder: a manifest, written once, and a journal, which gets a line per event.

A line is on disk before the sweep goes on. Losing a line, to a crash or a network file system, costs little: the job is
started again, finds its run completed, and says so.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from tunesmith import recorded
from tunesmith.config.redact import redact_text
from tunesmith.errors import RunError
from tunesmith.run.record.run_folder import shorten
from tunesmith.sweep import outcome
from tunesmith.sweep.protocol import Job, Result, Space
from tunesmith.sweep.schema import Content, Event, Manifest
from tunesmith.sweep.search.dimension import may_give
from tunesmith.sweep.search.space import CONFIGURATION

SCHEMA = 1
SHOWN = 5
"""Number of differences that an error names."""

MANIFEST, JOURNAL = "sweep.json", "journal.jsonl"


@dataclass
class Entry:
    """What the journal knows about a job.

    Attributes:
        job: The job.
        round: How often the job was started afresh, in a run folder of its own.
        result: How it ended; ``None`` if it has not.
        spent: Seconds spent in this round by attempts that were stopped.
    """

    job: Job
    round: int = 0
    result: Result | None = None
    spent: float = 0.0


@dataclass
class Journal:
    """The record of a sweep.

    Attributes:
        folder: Folder of the sweep.
        manifest: What is searched, and the sweep's id.
        space: What the jobs' changes must be of; ``None`` for a sweep that is only looked at.
        entries: Jobs that have started, by number, in that order.
    """

    folder: Path
    manifest: Manifest
    space: Space | None = None
    entries: dict[int, Entry] = field(default_factory=dict)
    _offset: int = 0
    _line: int = 0

    @property
    def name(self) -> str:
        """Name of the sweep, in tables and in W&B."""
        return f"{self.manifest['name']}-{self.manifest['id']}"

    def run_folder(self, number: int) -> Path:
        """Return a job's run folder; its last part is the run's id, unique across runs."""
        entry = self.entries.get(number)
        # A digest of the sweep's id would do as well, but this is readable.
        return self.folder / f"{number:04d}-{self.manifest['id']}{number:04x}{entry.round if entry else 0:x}"

    def count(self) -> int:
        """Return how many jobs have ended."""
        return sum(entry.result is not None for entry in self.entries.values())

    def refresh(self) -> None:
        """Read the events added since the last call, also by other launchers."""
        for event in self._events():
            if event["job"] not in self.entries:
                self.entries[event["job"]] = Entry(Job(event["job"], tuple(event.get("changes", ()))))
            entry = self.entries[event["job"]]
            if event["event"] == "again" and event["round"] > entry.round:
                entry.round, entry.result, entry.spent = event["round"], None, 0.0
            elif event["event"] == "stopped" and event["round"] == entry.round:
                entry.spent = event.get("seconds", entry.spent)
            elif event["event"] == "ended" and event["round"] == entry.round:
                folder = self.folder / event.get("folder", self.run_folder(event["job"]).name)
                ended = event.get("status", "failed"), event.get("seconds", 0.0), event.get("reason", "")
                entry.result = outcome.result(folder, *ended)

    def started(self, job: Job) -> None:
        """Record that a job starts or continues."""
        self._append("started", job.number, changes=job.changes, folder=self.run_folder(job.number).name)

    def ended(self, job: Job, result: Result, code: int | None) -> None:
        """Record how a job ended."""
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

    def note(self, job: Job, event: str, **more: object) -> None:
        """Record any other event: ``stopped``, ``retried``."""
        self._append(event, job.number, **more)

    def again(self, job: Job) -> None:
        """Start a job that has ended afresh, in another run folder."""
        self._append("again", job.number, round=self.entries[job.number].round + 1)

    def _append(self, event: str, number: int, **more: object) -> None:
        entry = self.entries.get(number)
        line = {"event": event, "job": number, "round": entry.round if entry else 0, **more}
        line["at"] = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        append(self.folder / JOURNAL, json.dumps(line))
        self.refresh()

    def _events(self) -> Iterator[Event]:
        path = self.folder / JOURNAL
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            self._line += 1
            try:
                event = recorded.line(line, Event)
            except ValueError:
                continue  # damaged: the job is started again
            self._check(event)
            yield event

    def _check(self, event: Event) -> None:
        """Refuse what would run other jobs than the searcher's, or read other folders than theirs.

        Raises:
            RunError: It would.
        """
        new = event["job"] not in self.entries
        folder, changes = event.get("folder", ""), event.get("changes", ())
        wrong = ""
        if min(event["job"], event["round"]) < 0:
            wrong = f"job {event['job']} of round {event['round']}"
        elif folder == ".." or Path(folder).name != folder:
            wrong = f"the folder '{folder}'"
        elif (new or changes) and self.space is not None and not may_give(self.space, changes):
            wrong = f"the changes '{redact_text(' '.join(changes))}'"
        if wrong:
            raise RunError(
                f"Expected line {self._line} of {self.folder / JOURNAL} to be of this sweep but got {wrong}: it was "
                "altered. Remove that line, or choose another sweep.dir."
            )


def append(path: Path, line: str) -> None:
    """Append a line to a file and wait until it is on disk; atomic beside other processes that append.

    A line that a crash cut short is terminated first, so that it does not spoil this one.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(handle).st_size
        torn = size and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, f"{chr(10) if torn else ''}{line}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def open_sweep(folder: Path, content: Content, space: Space | None = None) -> Journal:
    """Open a sweep's folder, or create it.

    Args:
        folder: Folder of the sweep.
        content: What the sweep is.
        space: What each job's changes are of.

    Raises:
        RunError: The folder holds another sweep, or cannot be created.
    """
    path = folder / MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path, content)
    except OSError as error:
        raise RunError(f"Expected to make the sweep's folder {folder} but got: {error.strerror}.") from error
    journal = read(folder, space)
    differences = list(_differences(journal.manifest, content))
    differences = differences or list(_renumbered(journal.manifest.get("jobs", []), content.get("jobs", [])))[:1]
    if differences:
        raise RunError(
            f"Expected the sweep that {shorten(folder)} holds but got another: {'; '.join(differences)}. "
            "Choose another sweep.dir, or remove that one."
        )
    return journal


def read(folder: Path, space: Space | None = None) -> Journal:
    """Read a sweep's folder.

    Raises:
        RunError: The folder does not hold a sweep, or one of another schema.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise RunError(f"Expected a sweep's folder, with a {MANIFEST}, but got {folder}.")
    plain = recorded.read_json(path, dict[str, object])
    if plain.get("schema") != SCHEMA:
        raise RunError(f"Expected {path} to have schema {SCHEMA} but got {str(plain.get('schema'))[:20]}.")
    manifest = recorded.of_file(path, plain, Manifest)
    if not re.fullmatch("[0-9a-f]{8}", manifest["id"]):
        raise RunError(f"Expected {path} to have an id of 8 hexadecimal digits, since folders are named by it.")
    journal = Journal(folder, manifest, space)
    journal.refresh()
    return journal


def _create(path: Path, content: Content) -> None:
    """Write the manifest; if several launchers do so at once, exactly one succeeds."""
    manifest: Manifest = {
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


def _differences(before: Content, now: Content) -> Iterator[str]:
    """Yield the differences on the command line or, if there are none, those in the configuration files."""
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

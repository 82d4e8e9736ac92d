"""Claim jobs, so that only one of several launchers on a folder runs each job; needs no file-system locks.

A claim is a file that only one process can create: it is written under a temporary name, then hard-linked to its final
name, which fails if that name exists, on network file systems too. When a claim was given back or its owner is dead,
the next claim gets the next number, which again only one process can create. Files are never removed, so no job can be
taken twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from tunesmith.atomic import write_text
from tunesmith.contract.plain import PlainData
from tunesmith.run.record import process

BEAT = 5.0
"""Seconds between two heartbeats of an owner."""

STALE = 60.0
"""Seconds without a heartbeat after which an owner on another host counts as dead, by the observer's clock."""


@dataclass
class Claim:
    """A job that this process runs.

    Attributes:
        path: The claim file.
        beats: How often the claim was renewed.
        job: The job's own process once it runs, as returned by `process.identity`.
    """

    path: Path
    beats: int = 0
    job: PlainData | None = None
    given_back: bool = False

    def renew(self) -> bool:
        """Write a heartbeat.

        Returns:
            Whether the job still belongs to this process: after a long pause another launcher may have taken it over.
        """
        self.beats += 1
        self._write()
        return self.is_newest()

    def is_newest(self) -> bool:
        """Return whether nobody has claimed the job since."""
        number, _, generation = self.path.stem.rpartition("-")
        return not self.path.with_name(f"{number}-{int(generation) + 1}.json").exists()

    def give_back(self) -> None:
        """Release the job, so that another launcher may run it again."""
        self.given_back = True
        self._write()

    def _write(self) -> None:
        write_text(self.path, self.text())

    def text(self) -> str:
        """Return the content of the claim file."""
        content = {"owner": process.identity(), "beats": self.beats, "job": self.job, "given_back": self.given_back}
        return json.dumps(content) + "\n"


class Claims:
    """The claims of a sweep.

    Args:
        folder: Folder of the claim files; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._seen: dict[Path, tuple[int, float]] = {}

    def take(self, number: int) -> Claim | None:
        """Claim a job.

        Args:
            number: The job's number.

        Returns:
            The claim, or ``None`` if another process has the job.
        """
        generation = self._newest(number)
        if generation and not self._is_free(self._path(number, generation)):
            return None
        claim = Claim(self._path(number, generation + 1))
        temporary = self.folder / f".{secrets.token_hex(8)}.tmp"
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(claim.text())
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, claim.path)
        except FileExistsError:
            return None
        finally:
            temporary.unlink(missing_ok=True)
        return claim

    def owner(self, number: int) -> str:
        """Return the owner of a job as ``host:pid``."""
        content = self._read(self._path(number, self._newest(number)))
        owner = (content or {}).get("owner", {})
        return f"{owner.get('host', '?')}:{owner.get('pid', '?')}"

    def _path(self, number: int, generation: int) -> Path:
        return self.folder / f"{number:04d}-{generation}.json"

    def _newest(self, number: int) -> int:
        generation = 0
        while self._path(number, generation + 1).exists():
            generation += 1
        return generation

    def _is_free(self, path: Path) -> bool:
        content = self._read(path)
        if content is None:
            return False
        if content["given_back"]:
            return True
        if process.elsewhere(content["owner"]):
            beats, since = self._seen.get(path, (-1, 0.0))
            if beats != content["beats"]:
                self._seen[path] = (content["beats"], time.monotonic())
                return False
            return time.monotonic() - since > STALE
        # A job outlives its killed launcher for a moment; until it has ended, its run folder is in use.
        return not process.alive(content["owner"]) and not process.alive(content["job"] or {})

    @staticmethod
    def _read(path: Path) -> PlainData | None:
        with contextlib.suppress(OSError, json.JSONDecodeError):
            content: PlainData = json.loads(path.read_text(encoding="utf-8"))
            return content
        return None

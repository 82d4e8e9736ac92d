"""Where activations are kept: a folder an entry, named by the digest of what went into it; a file for some rows."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tunesmith.atomic import write_text
from tunesmith.cache.shard import BrokenShardError, Shard, write

log = logging.getLogger(__name__)

ABOUT = "entry.json"
LEFT_OVER = 15 * 60
"""Seconds after which a temporary file is taken for a killed writer's: a file is written in seconds."""

SHARD_BYTES = 64 * 2**20
"""Most bytes of a file: what a writer holds in memory."""

FEWEST_FILES = 64
"""Files that a large entry has at least, so that processes can share the work, and a killed one loses little."""


@dataclass(frozen=True)
class Layout:
    """How the rows of an entry lie in its files.

    Attributes:
        rows: Rows N.
        per_shard: Rows of each file but the last.
    """

    rows: int
    per_shard: int

    @classmethod
    def plan(cls, rows: int, row_bytes: int, batch: int) -> Layout:
        """Cut rows into files of whole batches; the same in whatever process."""
        most = max(SHARD_BYTES // max(row_bytes, 1), batch)
        wanted = min(most, max(8 * batch, rows // FEWEST_FILES))
        return cls(rows, max(wanted // batch, 1) * batch)

    @property
    def shards(self) -> int:
        """Number of files."""
        return -(-self.rows // self.per_shard)

    def span(self, shard: int) -> range:
        """Rows of a file."""
        return range(shard * self.per_shard, min((shard + 1) * self.per_shard, self.rows))


class Entry:
    """What is kept of some images at one cut through one backbone.

    Args:
        folder: Its folder, which may not be there yet.
        about: All that its content depends on.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = about

    def path(self, shard: int) -> Path:
        """The file of some rows."""
        return self.folder / f"{shard:05d}.safetensors"

    def load(self, layout: Layout) -> tuple[dict[int, Shard], list[int]]:
        """Open the files that are there, each read once and compared with its digest.

        Returns:
            The files that hold, and the numbers of those that are missing or do not hold: these must be written.
        """
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            opened = list(pool.map(lambda i: self.open(i, layout), range(layout.shards)))
        whole = {i: shard for i, shard in enumerate(opened) if shard is not None}
        return whole, [i for i in range(layout.shards) if i not in whole]

    def open(self, shard: int, layout: Layout) -> Shard | None:
        """Open one file as `load` does; ``None`` where it is missing or does not hold."""
        path = self.path(shard)
        if not path.exists():
            return None
        try:
            found = Shard(path)
            if found.lengths != {len(layout.span(shard))}:
                raise BrokenShardError(f"{path.name}: it has another number of rows")
        except (BrokenShardError, OSError) as error:
            log.warning(f"Expected a whole file in the cache but got one that is not, so it is computed anew: {error}.")
            return None
        return found

    def prepare(self) -> None:
        """Make the folder, and write down what the entry depends on.

        Raises:
            OSError: Nothing can be written there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / ABOUT, json.dumps(self.about, indent=1) + "\n")

    def save(self, shard: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the rows of one file.

        Raises:
            OSError: Nothing can be written there, or the disk is full.
        """
        write(self.path(shard), tensors)

    def used(self) -> None:
        """Note the time, for whoever clears up."""
        try:
            os.utime(self.folder / ABOUT)
        except OSError:  # a folder that is only to be read
            return


@dataclass(frozen=True)
class Listed:
    """An entry as a list shows it: its folder, what it depends on, bytes, and seconds since it was last used."""

    folder: Path
    about: dict[str, Any]
    size: int
    age: float


class Store:
    """The folder that all entries are in.

    Args:
        folder: It may not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, about: Mapping[str, Any]) -> Entry:
        """The entry for exactly this content."""
        text = json.dumps(about, sort_keys=True)
        return Entry(self.folder / hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), about)

    def entries(self) -> Iterator[Listed]:
        """All entries, the one that was used last first."""
        found = []
        for path in self.folder.glob(f"*/{ABOUT}"):
            try:
                about, used = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime
                size = sum(file.stat().st_size for file in path.parent.iterdir())
            except (OSError, ValueError):  # just pruned by another process, or no entry of ours
                continue
            found.append(Listed(path.parent, about, size, time.time() - used))
        yield from sorted(found, key=lambda listed: listed.age)

    def remove(self, listed: Listed) -> None:
        """Remove an entry; a run that reads it keeps what it has open.

        Raises:
            OSError: It cannot be removed.
        """
        shutil.rmtree(listed.folder)

    def size(self, but: Entry | None = None) -> int:
        """Bytes of all entries, or of all but one."""
        return sum(listed.size for listed in self.entries() if but is None or listed.folder != but.folder)

    def room(self, max_bytes: int, but: Entry | None = None) -> int:
        """Bytes that may be added where all entries, or all but one, may take so many, and the disk is to stay free."""
        return min(max_bytes - self.size(but), int(0.9 * self.free()))

    def free(self) -> int:
        """Bytes that are free on the disk."""
        there = next(p for p in (self.folder, *self.folder.parents) if p.exists())
        return shutil.disk_usage(there).free

    def sweep_up(self) -> None:
        """Remove what killed writers left behind."""
        for path in self.folder.glob("*/.*.tmp"):
            try:
                if time.time() - path.stat().st_mtime > LEFT_OVER:
                    path.unlink()
            except OSError:  # another process was faster, or nothing may be removed here
                continue

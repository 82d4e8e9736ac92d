"""Store entries: one folder per entry, named by the digest of what it depends on, with one file per block of rows."""

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

from torch import Tensor

from tunesmith import recorded
from tunesmith.atomic import write_text
from tunesmith.cache.shard import BrokenShardError, Shard, write
from tunesmith.contract.plain import PlainData
from tunesmith.errors import RunError

log = logging.getLogger(__name__)

ABOUT = "entry.json"
LEFT_OVER = 15 * 60
"""Age in seconds at which a temporary file counts as left by a killed writer; writing a file takes seconds."""

SHARD_BYTES = 64 * 2**20
"""Maximum bytes per file, which is what a writer holds in memory."""

FEWEST_FILES = 64
"""Minimum number of files of a large entry, so that processes can share the work and a killed one loses little."""


@dataclass(frozen=True)
class Layout:
    """The distribution of an entry's rows over its files.

    Attributes:
        rows: Number of rows N.
        per_shard: Rows per file, except the last.
    """

    rows: int
    per_shard: int

    @classmethod
    def plan(cls, rows: int, row_bytes: int, batch: int) -> Layout:
        """Divide rows into files of whole batches, identically in every process."""
        most = max(SHARD_BYTES // max(row_bytes, 1), batch)
        wanted = min(most, max(8 * batch, rows // FEWEST_FILES))
        return cls(rows, max(wanted // batch, 1) * batch)

    @property
    def shards(self) -> int:
        """Number of files."""
        return -(-self.rows // self.per_shard)

    def span(self, shard: int) -> range:
        """Return the rows of a file."""
        return range(shard * self.per_shard, min((shard + 1) * self.per_shard, self.rows))


class Entry:
    """The cached values of some samples at one cut through one backbone.

    Args:
        folder: Its folder, which may not exist yet.
        about: Everything that its content depends on.
    """

    def __init__(self, folder: Path, about: Mapping[str, object]) -> None:
        self.folder = folder
        self.about = about

    def path(self, shard: int) -> Path:
        """Return the path of a file."""
        return self.folder / f"{shard:05d}.safetensors"

    @property
    def listed(self) -> bool:
        """Return whether the entry is listed; some of its files may still be missing."""
        return (self.folder / ABOUT).is_file()

    def load(self, layout: Layout) -> tuple[dict[int, Shard], list[int]]:
        """Open the existing files; each is read once and compared with its digest.

        Returns:
            The valid files, and the numbers of those that are missing or invalid and must be written.
        """
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            opened = list(pool.map(lambda i: self.open(i, layout), range(layout.shards)))
        whole = {i: shard for i, shard in enumerate(opened) if shard is not None}
        return whole, [i for i in range(layout.shards) if i not in whole]

    def open(self, shard: int, layout: Layout) -> Shard | None:
        """Open one file like `load`; ``None`` if it is missing or invalid."""
        path = self.path(shard)
        if not path.exists():
            return None
        try:
            found = Shard(path)
            if found.lengths != {len(layout.span(shard))}:
                raise BrokenShardError(f"{path.name}: it has another number of rows")
        except (BrokenShardError, OSError) as error:
            log.warning(f"Expected an intact file in the cache but got a damaged one, so it is computed anew: {error}.")
            return None
        return found

    def prepare(self) -> None:
        """Create the folder, and record what the entry depends on.

        Raises:
            OSError: The folder cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / ABOUT, json.dumps(self.about, indent=1) + "\n")

    def save(self, shard: int, tensors: Mapping[str, Tensor]) -> None:
        """Write one file of rows.

        Raises:
            OSError: The folder cannot be written to, or the disk is full.
        """
        write(self.path(shard), tensors)

    def used(self) -> None:
        """Update the time of last use, which pruning goes by."""
        try:
            os.utime(self.folder / ABOUT)
        except OSError:  # a read-only folder
            return


@dataclass(frozen=True)
class Listed:
    """An entry in a listing: folder, what it depends on, bytes, and seconds since its last use."""

    folder: Path
    about: PlainData
    size: int
    age: float


class Store:
    """The folder of all entries.

    Args:
        folder: The folder, which may not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, about: Mapping[str, object]) -> Entry:
        """Return the entry for exactly this content."""
        text = json.dumps(about, sort_keys=True)
        return Entry(self.folder / hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), about)

    def entries(self) -> Iterator[Listed]:
        """Yield all entries, the most recently used first."""
        found = []
        for path in self.folder.glob(f"*/{ABOUT}"):
            try:
                about, used = recorded.read_json(path, dict[str, object]), path.stat().st_mtime
                size = sum(file.stat().st_size for file in path.parent.iterdir())
            except (OSError, RunError):  # just pruned by another process, or not one of our entries
                continue
            found.append(Listed(path.parent, about, size, time.time() - used))
        yield from sorted(found, key=lambda listed: listed.age)

    def remove(self, listed: Listed) -> None:
        """Remove an entry; a run that reads it keeps its open files.

        Raises:
            OSError: It cannot be removed.
        """
        shutil.rmtree(listed.folder)

    def size(self, but: Entry | None = None) -> int:
        """Return the bytes of all entries, optionally without one."""
        return sum(listed.size for listed in self.entries() if but is None or listed.folder != but.folder)

    def room(self, max_bytes: int, but: Entry | None = None) -> int:
        """Return how many bytes may be added within the size limit while leaving a tenth of the free disk."""
        return min(max_bytes - self.size(but), int(0.9 * self.free()))

    def free(self) -> int:
        """Return the free bytes on the disk."""
        there = next(p for p in (self.folder, *self.folder.parents) if p.exists())
        return shutil.disk_usage(there).free

    def sweep_up(self) -> None:
        """Remove temporary files of killed writers."""
        for path in self.folder.glob("*/.*.tmp"):
            try:
                if time.time() - path.stat().st_mtime > LEFT_OVER:
                    path.unlink()
            except OSError:  # another process removed it first, or removal is not permitted
                continue

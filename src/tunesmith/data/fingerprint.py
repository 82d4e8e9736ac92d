"""Compute the data's fingerprint: a digest of the content, independent of location, time and order of the files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tunesmith.data.column import Lazy, ascending
from tunesmith.data.image.memory import cores
from tunesmith.data.progress import track
from tunesmith.data.table import Ints, Pixels, Table
from tunesmith.errors import DataError
from tunesmith.modality import base as modalities
from tunesmith.modality.base import Modality

MAX_BYTES = 4 * 2**30
"""Maximum total size up to which files are read whole: some minutes on a network disk."""

HEAD_BYTES = 64 * 2**10
"""Bytes that are read of each file otherwise."""

SIZE = 16
"""Bytes of a digest."""

AT_ONCE = 8192
"""Number of samples that are digested at once."""


class Digests(Lazy[bytes]):
    """The digest of each sample's content.

    Args:
        array: The digests ``(N, 16)``, uint8.
    """

    def __init__(self, array: Pixels) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def span(self, start: int, stop: int) -> list[bytes]:
        """See `Lazy.span`."""
        return _cut(self.array[start:stop])

    def of(self, rows: Ints) -> list[bytes]:
        """Return the digests of some rows."""
        return _cut(self.array[rows])


def _cut(array: Pixels) -> list[bytes]:
    content = array.tobytes()
    return [content[at : at + SIZE] for at in range(0, len(content), SIZE)]


Parts = Mapping[str, Ints]
"""Rows of each split, ascending."""

Keep = Callable[[object, Callable[[], Parts]], Parts]
"""Calls the function that draws the rows, or finds its earlier result for the same split."""


def drawn(split: object, draw: Callable[[], Parts]) -> Parts:
    """Draw the rows of each split; see `Keep`."""
    return draw()


@dataclass(frozen=True)
class Contents:
    """A table, and what is derived from its content alone.

    Attributes:
        table: The table.
        digests: Digest of each sample's content, in the table's order.
        whole: Whether whole files were digested.
        twins: Rows of equal content; see `twins`.
        fingerprint: Fingerprint of the data; see `fingerprint`.
        rows: Draws the rows of each split, or finds them.
    """

    table: Table
    digests: Digests
    whole: bool
    twins: Ints
    fingerprint: str
    rows: Keep = drawn

    @classmethod
    def of(cls, table: Table) -> Contents:
        """Digest a table.

        Raises:
            DataError: A file cannot be read.
        """
        digests, whole = digest_all(table.samples, modalities.of(table.modality))
        return cls(table, digests, whole, twins(digests), fingerprint(table, digests, whole))


def fingerprint(table: Table, digests: Digests, whole: bool = True) -> str:
    """Digest names, labels (or values), weights and content.

    Args:
        table: The samples' names, labels and weights.
        digests: Digest of each sample's content, in the table's order.
        whole: Whether whole files were digested.

    Returns:
        ``content:<hex>``, or ``head:<hex>`` if only size and first 64 KiB of each file were read.
    """
    total = hashlib.blake2b(repr(table.class_names).encode(), digest_size=SIZE)
    order = ascending(table.names)
    for start in range(0, len(order), AT_ONCE):
        rows = order[start : start + AT_ONCE]
        for row in zip(table.names[rows].tolist(), labels(table, rows), digests.of(rows), strict=True):
            total.update(repr(row).encode())
    return f"{'content' if whole else 'head'}:{total.hexdigest()}"


def digest_names(names: Iterable[str]) -> str:
    """Digest names, independent of their order."""
    return _digest_list(sorted(map(str, names)))


def digest_members(table: Table, rows: Ints) -> str:
    """Digest the names of some rows like `digest_names`, without holding them all in memory."""
    order = ascending(table.names, rows)
    spans = (order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE))
    return _digest_list(name for span in spans for name in table.names[span].tolist())


def _digest_list(names: Iterable[str]) -> str:
    """Digest the representation of a list, one item after another."""
    total, between = hashlib.blake2b(b"[", digest_size=SIZE), b""
    for name in names:
        total.update(between + repr(name).encode())
        between = b", "
    total.update(b"]")
    return total.hexdigest()


def labels(table: Table, rows: Ints | None = None) -> list[object]:
    """Return the target of each sample as a plain value, paired with its weight if the data have weights.

    Args:
        table: The table.
        rows: The samples; ``None`` for all.
    """
    rows = np.arange(len(table)) if rows is None else rows
    found = table.target.plain(table.targets_of(rows), table.class_names)
    return found if table.weights is None else list(zip(found, table.weights[rows].tolist(), strict=True))


def digest_all(samples: Sequence[object], modality: Modality, max_bytes: int = MAX_BYTES) -> tuple[Digests, bool]:
    """Digest the content of each sample.

    Args:
        samples: Files, pixels or texts.
        modality: Their modality.
        max_bytes: Maximum total size up to which files are read whole.

    Returns:
        One digest per sample, and whether whole files were digested.

    Raises:
        DataError: A file cannot be read.
    """
    found = np.empty((len(samples), SIZE), np.uint8)
    try:
        files = modality.files(samples)
        whole = sum(file.stat().st_size for file in files) <= max_bytes

        def digest(sample: object) -> bytes:
            return hashlib.blake2b(modality.content(sample, whole, HEAD_BYTES), digest_size=SIZE).digest()

        def digested() -> Iterator[bytes]:
            if not files:  # threads only help to wait for disks
                yield from map(digest, samples)
                return
            with ThreadPoolExecutor(cores()) as pool:
                for start in range(0, len(samples), AT_ONCE):
                    yield from pool.map(digest, samples[start : start + AT_ONCE])

        for row, own in enumerate(track(digested(), "Fingerprinting", len(samples))):
            found[row] = np.frombuffer(own, np.uint8)
    except OSError as err:
        raise DataError(f"Expected a readable image but got {err.filename}: {err.strerror}.") from err
    return Digests(found), whole


def twins(digests: Digests) -> Ints:
    """Find the rows whose content occurs in other rows too.

    Returns:
        Each such row, ascending, and the first row with its content ``(M, 2)``.
    """
    heads = np.ascontiguousarray(digests.array[:, :8]).view(np.uint64)[:, 0]
    ordered = np.sort(heads)
    several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(several):
        return np.zeros((0, 2), np.int64)
    del ordered
    rows = np.flatnonzero(several[np.minimum(np.searchsorted(several, heads), len(several) - 1)] == heads)
    whole = np.ascontiguousarray(digests.array[rows]).view(f"V{SIZE}")[:, 0]
    _, first, group, count = np.unique(whole, return_index=True, return_inverse=True, return_counts=True)
    return np.stack([rows, rows[first[group]]], axis=1)[count[group] > 1]


def shared(found: Ints, indices: dict[str, Ints]) -> list[tuple[int, int]]:
    """Find samples of equal content in two splits, which makes test accuracy optimistic.

    Args:
        found: Rows of equal content, from `twins`.
        indices: Rows by split.

    Returns:
        Pairs of rows in different splits.
    """
    if not len(found):
        return []
    own = {split: found[np.isin(found[:, 0], rows)] for split, rows in indices.items()}
    together = np.concatenate([*own.values(), np.zeros((0, 2), np.int64)])
    split = np.repeat(np.arange(len(own)), [len(pairs) for pairs in own.values()])
    _, first, group = np.unique(together[:, 1], return_index=True, return_inverse=True)
    owner = first[group]
    apart = np.flatnonzero(split[owner] != split)
    return list(zip(together[owner[apart], 0].tolist(), together[apart, 0].tolist(), strict=True))

"""What the data are, as one digest: the same wherever, whenever and in whatever order the files lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tunesmith.data.image.memory import cores
from tunesmith.data.progress import track
from tunesmith.data.table import Ints, Table
from tunesmith.errors import DataError
from tunesmith.modality.base import Modality

MAX_BYTES = 4 * 2**30
"""Files that are larger together are not read whole: some minutes on a network disk."""

HEAD_BYTES = 64 * 2**10
"""Bytes at the start of each file that are read then."""


def fingerprint(table: Table, digests: Sequence[bytes], whole: bool = True) -> str:
    """Digest names, labels (or values), weights and content.

    Args:
        table: The samples' names, labels and weights.
        digests: Of each sample's content, in the table's order.
        whole: Whether the digests are over whole files.

    Returns:
        ``content:<hex>``, or ``head:<hex>`` where only the size and the first 64 KiB of each file were read.
    """
    rows = zip(table.names.tolist(), labels(table), digests, strict=True)
    total = hashlib.blake2b(repr(table.class_names).encode(), digest_size=16)
    for name, label, digest in sorted(rows):
        total.update(repr((name, label, digest)).encode())
    return f"{'content' if whole else 'head'}:{total.hexdigest()}"


def digest_names(names: Iterable[str]) -> str:
    """Digest names, in whatever order they come."""
    return hashlib.blake2b(repr(sorted(map(str, names))).encode(), digest_size=16).hexdigest()


def labels(table: Table) -> list[Any]:
    """Class name, labels, values or what else is said of each sample; with its weight where the data have weights."""
    found = table.target.plain(table.targets, table.class_names)
    return found if table.weights is None else list(zip(found, table.weights.tolist(), strict=True))


def digest_all(samples: Sequence[Any], modality: Modality, max_bytes: int = MAX_BYTES) -> tuple[list[bytes], bool]:
    """Digest the content of each sample.

    Args:
        samples: Files, pixels or texts.
        modality: Theirs.
        max_bytes: Size of all files together up to which they are read whole.

    Returns:
        One digest per sample, and whether they are over whole files.

    Raises:
        DataError: A file cannot be read.
    """
    try:
        whole = sum(file.stat().st_size for file in modality.files(samples)) <= max_bytes

        def digest(sample: Any) -> bytes:
            return hashlib.blake2b(modality.content(sample, whole, HEAD_BYTES), digest_size=16).digest()

        with ThreadPoolExecutor(cores()) as pool:
            return list(track(pool.map(digest, samples), "Fingerprinting", len(samples))), whole
    except OSError as err:
        raise DataError(f"Expected a readable image but got {err.filename}: {err.strerror}.") from err


def shared(digests: Sequence[bytes], indices: dict[str, Ints]) -> list[tuple[int, int]]:
    """Find samples of one content that stand in two splits, which makes the test easier than the world is.

    Args:
        digests: Of each sample's content, in the table's order.
        indices: Rows of each split.

    Returns:
        Pairs of rows, each of a different split.
    """
    first: dict[bytes, tuple[str, int]] = {}
    pairs = []
    for split, rows in indices.items():
        for row in rows.tolist():
            owner, other = first.setdefault(digests[row], (split, row))
            if owner != split:
                pairs.append((other, row))
    return pairs

"""Find duplicate images: byte-identical files, and the same image saved again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from imagehash import phash
from PIL import Image

from tunesmith.check.finding import Finding, Item
from tunesmith.check.image import Seen
from tunesmith.data.progress import track
from tunesmith.data.table import Ints

DISTANCE = 10
"""Largest Hamming distance between the 64-bit hashes of two candidates."""

CORRELATION = 0.997
"""Smallest correlation between the thumbnails of one image saved twice; `CONTRIBUTING.md` has the measurements."""

CHUNK = 512
"""Number of hashes compared with all others at a time, which bounds the memory."""

Pair = tuple[int, int]


def exact(seen: Sequence[Seen], digests: Sequence[bytes]) -> list[tuple[int, ...]]:
    """Return the rows of each readable content that occurs more than once."""
    rows: dict[bytes, list[int]] = {}
    for row, digest in enumerate(digests):
        if seen[row].thumbnail is not None:
            rows.setdefault(digest, []).append(row)
    return [tuple(found) for found in rows.values() if len(found) > 1]


def near(seen: Sequence[Seen], digests: Sequence[bytes]) -> list[Pair]:
    """Find pairs of images that look the same but differ in their bytes.

    Candidates have similar perceptual hashes (the low frequencies of a discrete cosine transform against their median;
    Krawetz 2011, "Looks Like It", by `imagehash.phash`); of these, pairs are kept whose thumbnails correlate. Hashes
    alone would take neighbouring cells of one solar module for copies.

    Args:
        seen: Properties of each image.
        digests: Digest of each image's content; among equal contents, the first represents all.

    Returns:
        Pairs of rows, the earlier one first.
    """
    first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    rows = np.array(sorted(row for row in first.values() if not seen[row].blank), dtype=np.int64)
    if len(rows) < 2:
        return []
    small = np.stack([seen[row].thumbnail for row in rows])
    hashes = np.array([_hash(one) for one in track(small, "Hashing images", len(small))], dtype=np.uint64)
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    found = []
    starts = range(0, len(rows), CHUNK)
    for start in track(starts, "Comparing images", len(starts)):
        distance = np.bitwise_count(hashes[start : start + CHUNK, None] ^ hashes[None, :])
        for i, j in zip(*np.nonzero(distance <= DISTANCE), strict=True):
            if j > start + i and flat[start + i] @ flat[j] >= CORRELATION:
                found.append((int(rows[start + i]), int(rows[j])))
    return found


def _hash(thumbnail: npt.NDArray[np.uint8]) -> int:
    bits = phash(Image.fromarray(thumbnail)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def findings(
    alike: Sequence[tuple[int, ...]], near_pairs: Sequence[Pair], indices: dict[str, Ints]
) -> Iterator[Finding]:
    """Yield copies across splits, which make test metrics optimistic, and copies within one split."""
    split = {int(row): name for name, rows in indices.items() for row in rows}
    for groups, what in ((alike, "copies"), (near_pairs, "near copies")):
        items = [Item(rows, ", ".join(split.get(row, "in no split") for row in rows)) for rows in groups]
        across = tuple(item for item in items if len({split.get(row) for row in item.rows}) > 1)
        within = tuple(item for item in items if item not in across)
        if across:
            text = "They are in two splits, so the test is easier than new data will be: remove them or split by group."
            yield Finding(f"{what} across splits", "warning", text, across)
        if within:
            yield Finding(f"{what} in one split", "note", "They count several times.", within)


def number(alike: Sequence[tuple[int, ...]], near_pairs: Sequence[Pair]) -> int:
    """Count the images that are a copy of an earlier one, exact or near."""
    return len({row for rows in alike for row in rows[1:]} | {row for _, row in near_pairs})

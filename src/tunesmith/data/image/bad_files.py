"""Find images that cannot be read by decoding every file once, and skip them before the table is split.

Only decoding shows it: a truncated file begins like a whole one. It costs about as much as the first epoch's decoding,
with one thread per core. Every command repeats it, to notice files that were repaired or damaged in the meantime, which
changes the data's fingerprint.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tunesmith.data.image.decode import Decode, ImageError, reason
from tunesmith.data.image.memory import cores
from tunesmith.data.progress import track
from tunesmith.data.table import Images, Pixels, Table
from tunesmith.errors import DataError

log = logging.getLogger(__name__)

BadFiles = list[tuple[str, str]]
"""Name of each skipped image, and the reason."""


def why_unreadable(images: Images, decoder: Decode) -> list[str | None]:
    """Decode every image once, and return why each cannot be decoded, or ``None``."""

    def attempt(image: Path | Pixels) -> str | None:
        try:
            decoder(image)
        except ImageError as err:
            return reason(err.__cause__ or err)
        return None

    with ThreadPoolExecutor(cores()) as pool:
        return list(track(pool.map(attempt, images), "Checking images", len(images)))


def unreadable(files: Sequence[Path], decoder: Decode, skip: bool) -> dict[int, str]:
    """Find the positions of files that cannot be read, and the reasons.

    Args:
        files: Files to predict on.
        decoder: Decoder of the files.
        skip: Whether to skip them.

    Raises:
        DataError: There are some and they must not be skipped, or no file can be read.
    """
    bad = {i: why for i, why in enumerate(why_unreadable(files, decoder)) if why is not None}
    if bad and (not skip or len(bad) == len(files)):
        first, why = next(iter(bad.items()))
        way_out = "" if skip else "; on_bad_file=skip predicts on the others"
        raise DataError(
            f"Expected {'some' if skip else 'only'} readable images but {len(bad)} of {len(files)} are not, "
            f"first {files[first]}: {why}{way_out}."
        )
    return bad


def leave_out(table: Table, decoder: Decode) -> tuple[Table, BadFiles]:
    """Decode every file once and skip those that cannot be decoded.

    Args:
        table: The images; the remaining rows keep their order.
        decoder: Decoder of the files.

    Returns:
        The table of the others, and the skipped files.

    Raises:
        DataError: No file can be read.
    """
    if isinstance(table.samples, np.ndarray):
        return table, []

    reasons = why_unreadable(table.samples, decoder)
    bad = [(name, why) for name, why in zip(table.names.tolist(), reasons, strict=True) if why is not None]
    if not bad:
        return table, []
    if len(bad) == len(table):
        raise DataError(f"Expected images that can be read but none can, first {bad[0][0]}: {bad[0][1]}.")
    log.warning(
        f"Left out {len(bad)} of {len(table)} images that cannot be read, such as {bad[0][0]}: {bad[0][1]}; "
        "data.on_bad_file=error stops at them instead."
    )
    return table.keep(np.flatnonzero([why is None for why in reasons])), bad

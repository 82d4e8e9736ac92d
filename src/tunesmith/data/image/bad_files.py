"""Images that cannot be read: found by decoding every file once, and left out before the table is split.

Nothing less than a decode tells: a file that was cut off begins as a whole one does. It costs about what the first
epoch's decoding costs, with one thread a core, and is done again by every command, so that a file that was mended or
broken meanwhile is noticed (the data's fingerprint is another then).
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
"""Name of each image that was left out, and why."""


def why_unreadable(images: Images, decoder: Decode) -> list[str | None]:
    """Decode every image once: for each, why that cannot be done, or ``None``."""

    def attempt(image: Path | Pixels) -> str | None:
        try:
            decoder(image)
        except ImageError as err:
            return reason(err.__cause__ or err)
        return None

    with ThreadPoolExecutor(cores()) as pool:
        return list(track(pool.map(attempt, images), "Checking images", len(images)))


def unreadable(files: Sequence[Path], decoder: Decode, skip: bool) -> dict[int, str]:
    """Positions of the files that cannot be read, and why.

    Args:
        files: What to predict on.
        decoder: Decodes.
        skip: Whether these are to be left out.

    Raises:
        DataError: There are some and none is to be left out, or none can be read.
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
    """Decode every file once and leave out those that cannot be.

    Args:
        table: The images; the rows that stay keep their order.
        decoder: Decodes.

    Returns:
        The table of the others, and what was left out.

    Raises:
        DataError: None can be read.
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

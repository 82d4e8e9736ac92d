"""Search combinations drawn at random."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunesmith.errors import ConfigError
from tunesmith.sweep.protocol import Space
from tunesmith.sweep.search.dimension import Dimension, dimensions
from tunesmith.sweep.search.listed import Listed


class Random(Listed):
    """Draws combinations at random, each key independently (Bergstra & Bengio 2012), without repeating one.

    Intervals are sampled uniformly, with ``tag(log, …)`` log-uniformly. The jobs are the same whenever the sweep is
    started, and a longer sweep starts with the jobs of a shorter one.

    Args:
        space: What is searched.
        folder: Folder of the sweep; nothing is stored in it.
        jobs: Number of combinations; all of them if there are fewer.
        seed: Seed of the draws.

    Raises:
        ConfigError: Nothing is searched, ``jobs`` is below 1, or an interval has fewer numbers than ``jobs``.
    """

    def __init__(self, space: Space, folder: Path, jobs: int = 20, seed: int = 0) -> None:
        if jobs < 1 or not space.swept:
            what = (
                f"sweep.searcher.jobs to be at least 1 but got {jobs}" if jobs < 1 else "a key to search but got none"
            )
            raise ConfigError(f"Expected {what}: such as -m sweep=random 'optimizer.lr=tag(log,interval(1e-4,1e-1))'.")
        super().__init__(_drawn(dimensions(space), jobs, random.Random(seed)))


def _drawn(found: Sequence[Dimension], jobs: int, generator: random.Random) -> Iterator[tuple[str, ...]]:
    most = min(jobs, math.prod(dimension.count for dimension in found))
    drawn: set[tuple[str, ...]] = set()
    misses = 0
    while len(drawn) < most:
        if misses > max(10_000, 100 * most):
            keys = ", ".join(dimension.key for dimension in found)
            raise ConfigError(
                f"Expected sweep.searcher.jobs to be at most {len(drawn)}, since no more combinations of {keys} were "
                f"found in {misses} draws, but got {jobs}."
            )
        changes = tuple(f"{dimension.key}={dimension.draw(generator)}" for dimension in found)
        misses = misses + 1 if changes in drawn else 0
        if not misses:
            drawn.add(changes)
            yield changes

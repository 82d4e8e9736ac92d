"""Open an entry: find and verify it, or compute it if that pays; otherwise explain why not."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tunesmith.cache.cached_split import OpenEntry
from tunesmith.cache.fill import Recipe, fill
from tunesmith.cache.frozen import BATCH
from tunesmith.cache.plan import Estimate, in_bytes, in_time
from tunesmith.cache.shard import Shard
from tunesmith.cache.store import Entry, Layout, Store
from tunesmith.data.image.memory import available_bytes

log = logging.getLogger(__name__)

TOLERANCE = 0.01
"""Allowed difference as a share of the largest value: machines round differently, other code differs by more."""


class Opener:
    """Opens entries for a run.

    Args:
        store: The entries.
        mode: As in `ActivationCache`.
        max_bytes: Size limit of all entries.

    Attributes:
        said: Decisions, one sentence each.
        hits: Number of images found.
        computed: Number of images computed.
        seconds: Seconds spent on finding and reading (``look``), and on computing and writing (``fill``).
    """

    def __init__(self, store: Store, mode: Literal["auto", "refresh", "read_only"], max_bytes: int) -> None:
        self.store = store
        self.mode = mode
        self.max_bytes = max_bytes
        self.said: list[str] = []
        self.hits = self.computed = 0
        self.seconds = {"look": 0.0, "fill": 0.0}

    def open(self, recipe: Recipe, rows: npt.NDArray[np.int64], spared: int) -> OpenEntry | None:
        """Open an entry, or compute it; ``None`` if neither is possible or pays, which `said` explains.

        Args:
            recipe: The entry's content.
            rows: Row of the data's table for each of its rows.
            spared: Number of row computations that the entry saves this run.
        """
        layout = Layout.plan(len(rows), recipe.row_bytes, BATCH)
        entry = self.store.entry(recipe.about)
        with self._timed("look"):
            there, missing = self._load(entry, layout, recipe.sample)
        size = in_bytes(layout.rows * recipe.row_bytes)
        if missing:
            done = self._complete(entry, layout, missing, recipe, spared)
            if done is None:
                return None
            there |= done
        else:
            self.hits += layout.rows
            self.say(f"Reused {recipe.what} from the cache ({size}).")
        entry.used()
        frugal = layout.rows * recipe.row_bytes > available_bytes() / 4
        return OpenEntry([there[shard] for shard in range(layout.shards)], layout, rows, frugal)

    @contextmanager
    def _timed(self, part: Literal["look", "fill"]) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start

    def _load(self, entry: Entry, layout: Layout, sample: Mapping[str, Tensor]) -> tuple[dict[int, Shard], list[int]]:
        if self.mode == "refresh":
            return {}, list(range(layout.shards))
        there, missing = entry.load(layout)
        if there and not all(_agree(shard, sample, first=i == 0) for i, shard in there.items()):
            log.warning(
                f"Expected entry {entry.folder.name} of the cache to match a fresh computation but got other values "
                "for the same key, so it is computed anew."
            )
            return {}, list(range(layout.shards))
        return there, missing

    def _complete(
        self, entry: Entry, layout: Layout, missing: list[int], recipe: Recipe, spared: int
    ) -> dict[int, Shard] | None:
        count = sum(len(layout.span(shard)) for shard in missing)
        if self.mode == "read_only":
            self.say(f"Not cached: {recipe.what}; cache=read_only adds nothing.")
            return None
        again = self.mode == "refresh"
        estimate = Estimate(count, spared, recipe.row_bytes, layout.rows, recipe.seconds(), recipe.asked or again)
        room = self.store.room(self.max_bytes, but=entry if again else None)
        objection = estimate.objection(room, available_bytes() // 2)
        if objection:
            self.say(f"Not cached: {recipe.what}; {objection}.")
            return None
        try:
            with self._timed("fill"):
                self.store.sweep_up()
                done = fill(entry, layout, missing, recipe)
        except OSError as error:
            log.warning(f"Expected to write to the cache but got: {error}; {recipe.what} are not cached.")
            return None
        size, took = in_bytes(layout.rows * recipe.row_bytes), in_time(estimate.seconds * count)
        self.say(f"Cached {recipe.what} ({size}) in about {took}; later runs reuse them.")
        self.computed += count
        self.hits += layout.rows - count
        return done

    def say(self, text: str) -> None:
        """Record a decision."""
        log.info(text)
        self.said.append(text)


def _agree(shard: Shard, sample: Mapping[str, Tensor], first: bool) -> bool:
    """Return whether a file has the right tensors and, if it holds the first rows, about the right values."""
    if {n: (t.dtype, t.shape[1:]) for n, t in shard.tensors.items()} != {
        n: (t.dtype, t.shape[1:]) for n, t in sample.items()
    }:
        return False
    return not first or all(_close(shard.tensors[name][: len(t)], t) for name, t in sample.items())


def _close(kept: Tensor, now: Tensor) -> bool:
    kept, now = kept.float(), now.float()
    return bool((kept - now).abs().max() <= TOLERANCE * now.abs().max())
